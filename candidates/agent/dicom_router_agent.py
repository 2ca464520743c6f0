#!/usr/bin/env python3
r"""Registers a writer that cannot register itself, and keeps it registered while it answers.

One file to copy, for Python >= 3.9, with nothing installed::

    ROUTER_URL=http://router:8080 AE_TITLE=ARCHIVE ADVERTISE=archive PORT=104 \
        ROUTING_CRITERIA='MODALITY|NOT_IN|CR,DX' python3 dicom_router_agent.py

The writer is asked by C-ECHO before each heartbeat. While it does not answer, no heartbeat is sent,
so that its lease ends and the router holds its studies; when it is back, so is its registration.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import socket
import struct
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

REQUEST_TIMEOUT_S = 10.0
ECHO_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
REFUSED_PAUSE_S = 60.0
"""A router that has said no is asked again so much later: its configuration may have changed."""

log = logging.getLogger("dicom-router-agent")


class Unreachable(Exception):
    """The router is not there, or does not answer sensibly: worth another try."""


class Refused(Exception):
    """The router understood and said no."""


class Unknown(Exception):
    """The router does not know this writer (any more)."""


class Router:
    """The part of the router's HTTP API that a writer needs; blocks, at most 10 s a request.

    Raises ``ValueError`` for what is no HTTP address.
    """

    def __init__(self, url: str, token: str | None = None):
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"{url!r} is no HTTP address; write http://router:8080")
        self.url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def register(self, registration: dict[str, Any]) -> float:
        """Register, or register again; the seconds between heartbeats that the router asks for.

        Raises ``Unreachable`` or ``Refused``, as all requests do.
        """
        answer = self._post("/candidates", registration)
        try:
            heartbeat_s = float(json.loads(answer)["heartbeat_s"])
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"{self.url} is not a router's: {error!r}") from error
        if not 0 < heartbeat_s < 86400:
            raise Unreachable(f"{self.url} asks for a heartbeat each {heartbeat_s} s")
        return heartbeat_s

    def heartbeat(self, ae_title: str) -> None:
        """Say that the writer is still there. Raises ``Unknown`` if it has to register again."""
        self._post(f"/candidates/{urllib.parse.quote(ae_title, safe='')}/heartbeat")

    def drain(self, ae_title: str) -> None:
        """Ask for nothing new. Raises ``Unknown`` if the router does not know the writer."""
        self._post(f"/candidates/{urllib.parse.quote(ae_title, safe='')}/drain")

    def _post(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - its scheme was looked at
            self.url + path, data=data, headers=self._headers, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:  # noqa: S310
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                explanation = error.read(500).decode(errors="replace")
            message = f"{self.url}{path}: {error.code} {explanation}"
            if error.code == 404:
                raise Unknown(message) from error
            if error.code in (400, 401, 403, 422):
                raise Refused(message) from error
            raise Unreachable(message) from error
        except (OSError, ValueError) as error:  # no connection, no answer, no URL
            raise Unreachable(f"{self.url}{path}: {error}") from error


class Agent:
    """Keeps one writer registered; ``run`` in a thread of its own, ``stop`` from any other."""

    def __init__(
        self,
        router: Router,
        registration: dict[str, Any],
        is_well: Callable[[], bool] = lambda: True,
    ):
        self._router = router
        self._registration = registration
        self._is_well = is_well
        self._stopped = threading.Event()
        self._is_registered = False
        self._says_well: bool | None = None
        self._pause_s = FIRST_PAUSE_S
        self._heartbeat_s = FIRST_PAUSE_S

    @property
    def ae_title(self) -> str:
        """The writer's AE title."""
        return str(self._registration["aet"])

    def run(self) -> None:
        """Register, send heartbeats, register again, until it is stopped; never raises."""
        while not self._stopped.is_set():
            self._stopped.wait(self._step())

    def stop(self, drain: bool) -> None:
        """End ``run``; with ``drain`` the router gives the writer nothing new from now on."""
        self._stopped.set()
        if not (drain and self._is_registered):
            return
        try:
            self._router.drain(self.ae_title)
            log.info("%s drains: it gets nothing new", self.ae_title)
        except (Unreachable, Refused, Unknown) as error:
            log.warning("%s could not be drained: %s", self.ae_title, error)

    def _step(self) -> float:
        """Do what is due; the seconds until something is due again."""
        if not self._says_that_it_is_well():
            return self._grown_pause()
        try:
            self._register_or_heartbeat()
        except Unknown:
            log.info("the router has forgotten %s; registering again", self.ae_title)
            self._is_registered = False
            return self._grown_pause()
        except Unreachable as error:
            log.warning("the router cannot be reached; trying again: %s", error)
            return self._grown_pause()
        except Refused as error:
            log.error("the router refuses %s: %s", self.ae_title, error)
            self._is_registered = False
            return REFUSED_PAUSE_S
        self._pause_s = FIRST_PAUSE_S
        return self._heartbeat_s

    def _register_or_heartbeat(self) -> None:
        if self._is_registered:
            self._router.heartbeat(self.ae_title)
            return
        try:
            self._heartbeat_s = self._router.register(self._registration)
        except Unknown as error:  # a proxy whose router is away, maybe
            raise Unreachable(str(error)) from error
        self._is_registered = True
        log.info("%s is registered with %s", self.ae_title, self._router.url)

    def _says_that_it_is_well(self) -> bool:
        is_well = self._is_well()
        if is_well is not self._says_well:
            self._says_well = is_well
            log.log(
                logging.INFO if is_well else logging.WARNING,
                "%s answers" if is_well else "%s does not answer C-ECHO; no heartbeat is sent",
                self.ae_title,
            )
        return is_well

    def _grown_pause(self) -> float:
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, LONGEST_PAUSE_S)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - only so that not all come at once


# -- C-ECHO: the least of PS3.8 and PS3.7 that asks whether a writer is there ----------------------

VERIFICATION = b"1.2.840.10008.1.1"
APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = b"1.2.840.10008.1.2"
IMPLEMENTATION = b"2.25.266108932317839459513862936352487416001"
CONTEXT_ID = 1
ASSOCIATE_RQ, ASSOCIATE_AC, P_DATA_TF, RELEASE_RQ = 1, 2, 4, 5
C_ECHO_RQ, NO_DATA_SET = 0x0030, 0x0101
LONGEST_ANSWER = 1 << 20


def echo(host: str, port: int, called: str, calling: str = "ROUTER-AGENT") -> bool:
    """Whether a Verification SCP accepts an association and answers C-ECHO with success."""
    try:
        with socket.create_connection((host, port), timeout=ECHO_TIMEOUT_S) as connection:
            connection.sendall(_association_request(called, calling))
            kind, body = _read_pdu(connection)
            if kind != ASSOCIATE_AC or not _accepts_context(body):
                return False
            connection.sendall(_echo_request())
            kind, body = _read_pdu(connection)
            is_there = kind == P_DATA_TF and _status(body) == 0
            connection.sendall(_pdu(RELEASE_RQ, bytes(4)))
            _read_pdu(connection)
            return is_there
    except (OSError, ValueError, struct.error):
        return False


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _pdu(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(content)) + content


def _association_request(called: str, calling: str) -> bytes:
    """A-ASSOCIATE-RQ with one presentation context, PS3.8 section 9.3.2."""
    syntaxes = _item(0x30, VERIFICATION) + _item(0x40, IMPLICIT_VR_LITTLE_ENDIAN)
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, IMPLEMENTATION)
    return _pdu(
        ASSOCIATE_RQ,
        struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16))
        + _item(0x10, APPLICATION_CONTEXT)
        + _item(0x20, bytes((CONTEXT_ID, 0, 0, 0)) + syntaxes)
        + _item(0x50, user),
    )


def _accepts_context(body: bytes) -> bool:
    """Whether the A-ASSOCIATE-AC accepts the one context, PS3.8 section 9.3.3.2."""
    position = 68
    while position + 4 <= len(body):
        kind, length = struct.unpack_from(">BxH", body, position)
        if kind == 0x21 and body[position + 4] == CONTEXT_ID:
            return body[position + 6] == 0
        position += 4 + length
    return False


def _echo_request() -> bytes:
    """C-ECHO-RQ in one P-DATA-TF, PS3.7 section 9.3.5.1."""
    elements = _element(0x0002, VERIFICATION + b"\0")
    elements += _element(0x0100, struct.pack("<H", C_ECHO_RQ))
    elements += _element(0x0110, struct.pack("<H", 1))
    elements += _element(0x0800, struct.pack("<H", NO_DATA_SET))
    command = _element(0x0000, struct.pack("<I", len(elements))) + elements
    value = bytes((CONTEXT_ID, 0x03)) + command
    return _pdu(P_DATA_TF, struct.pack(">I", len(value)) + value)


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0x0000, number, len(value)) + value


def _status(body: bytes) -> int | None:
    """The Status (0000,0900) of a response that came in one fragment."""
    position = 6  # item length, context, control header
    while position + 8 <= len(body):
        _, number, length = struct.unpack_from("<HHI", body, position)
        if number == 0x0900:
            return int(struct.unpack_from("<H", body, position + 8)[0])
        position += 8 + length
    return None


def _read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxI", _read(connection, 6))
    if length > LONGEST_ANSWER:
        raise ValueError(f"a PDU of {length} bytes is no answer to C-ECHO")
    return kind, _read(connection, length)


def _read(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        piece = connection.recv(count - len(content))
        if not piece:
            raise ConnectionError("the peer has left")
        content += piece
    return content


# -- configuration ---------------------------------------------------------------------------------


def registration_of(
    ae_title: str, host: str, port: int, criteria: str | None, extra: dict[str, Any]
) -> dict[str, Any]:
    """The body of ``POST /candidates``; ``extra`` are more keys of it, as the router knows them."""
    body: dict[str, Any] = {"aet": ae_title, "host": host, "port": port, **extra}
    if criteria:
        body["routingCriteria"] = criteria
    return body


def read_token(path: str | None) -> str | None:
    """The registration token in a file; None without one. Raises ``OSError``."""
    if not path:
        return None
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - nothing but what is needed
        return file.read().strip()


def _extra(text: str) -> tuple[str, Any]:
    """KEY=VALUE, where the value is JSON, or else text."""
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise argparse.ArgumentTypeError(f"{text!r}: write KEY=VALUE, as priority=urgent")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _ae_title(text: str) -> str:
    if not (1 <= len(text) <= 16 and text.isascii() and text.isprintable() and text.strip()):
        raise argparse.ArgumentTypeError(f"{text!r}: an AE title has 1 to 16 ASCII characters")
    return text


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """What the command line says, and for what it does not say the environment."""
    variables = os.environ.get
    parser = argparse.ArgumentParser(
        description="Register a writer with a DICOM router while it answers C-ECHO."
    )

    def option(name: str, variable: str, **more: Any) -> None:
        default = variables(variable)
        is_required = more.pop("required", False) and default is None
        more["help"] += f" [{variable}]"
        parser.add_argument(name, default=default, required=is_required, **more)

    option("--router", "ROUTER_URL", required=True, help="HTTP address of the router")
    option("--ae-title", "AE_TITLE", required=True, type=_ae_title, help="the writer's AE title")
    option("--host", "ADVERTISE", required=True, help="where the router and the agent find it")
    option("--port", "PORT", required=True, type=int, help="its DICOM port")
    option("--criteria", "ROUTING_CRITERIA", help="ATTRIBUTE|OPERATOR|VALUE; none: every study")
    option("--token-file", "REGISTRATION_TOKEN_FILE", help="file with the registration token")
    parser.add_argument(
        "--set",
        dest="extra",
        type=_extra,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="more keys of the registration: priority=urgent, required=false, commitment=true",
    )
    parser.add_argument(
        "--drain-on-stop",
        action="store_true",
        help="when the agent is stopped, the writer gets nothing new",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Keep the writer registered until SIGTERM or SIGINT; the exit status."""
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        router = Router(options.router, read_token(options.token_file))
    except (OSError, ValueError) as error:
        log.error("the agent cannot run: %s", error)
        return 1
    agent = Agent(
        router,
        registration_of(
            options.ae_title, options.host, options.port, options.criteria, dict(options.extra)
        ),
        lambda: echo(options.host, options.port, options.ae_title),
    )
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    threading.Thread(target=agent.run, daemon=True).start()
    told_to_stop.wait()
    agent.stop(drain=options.drain_on_stop)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
