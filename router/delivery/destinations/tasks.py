"""Sends tasks to the workers of a Celery application, through its broker, as Celery does.

The message is that of https://docs.celeryq.dev/en/stable/internals/protocol.html (version 2).
Its fields for logs stay empty: Celery would write the arguments there, and they name a patient.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from router.delivery.destinations.secrets import (
    NOT_ACCEPTED,
    hint_of,
    read_secret,
    tls_fault,
    tls_for,
)
from router.domain.errors import CandidateUnavailable
from router.domain.reach import Broker, TlsFiles

if TYPE_CHECKING:
    from kombu import Connection

LONGER_THAN_ITS_STEPS = 3
"""Whoever waits has more patience than each step of the thread, and learns its reason."""

_AMQP = ("amqp", "amqps")
_SECURED = ("amqps", "rediss")


Work = Callable[["Connection"], None]
"""What is done over a connection, in its thread."""


class TaskBroker:
    """The broker of one candidate."""

    def __init__(self, who: str, broker: Broker, patience_s: float):
        """``who`` it belongs to, for people; ``patience_s``: so long a single step may take."""
        self._who = f"{who}: broker {broker.url}"
        self._broker = broker
        self._patience_s = patience_s

    async def send(self, task: str, task_id: str, arguments: Mapping[str, Any]) -> None:
        """Queue a task; on return the broker has said that it has it.

        Raises ``CandidateUnavailable``; the broker may have it nevertheless.
        """
        await self._do(partial(_send, self._broker, self._patience_s, task, task_id, arguments))

    async def probe(self) -> None:
        """Ask whether the broker is there and lets us in; raises ``CandidateUnavailable``."""
        await self._do(_knock)

    async def _do(self, work: Work) -> None:
        talk = partial(_talk, self._who, self._broker, self._patience_s, work)
        try:
            with anyio.fail_after(LONGER_THAN_ITS_STEPS * self._patience_s):
                await anyio.to_thread.run_sync(talk, abandon_on_cancel=True)
        except TimeoutError as error:
            raise CandidateUnavailable(f"{self._who} does not answer") from error


def _talk(who: str, broker: Broker, patience_s: float, work: Work) -> None:
    """Connect and do something, in a worker thread; raises ``CandidateUnavailable``."""
    from amqp.exceptions import MessageNacked
    from kombu.exceptions import OperationalError

    connection = _connection(who, broker, patience_s)
    faults = (
        *connection.connection_errors,
        *connection.channel_errors,
        OperationalError,
        MessageNacked,
    )
    try:
        with connection:
            connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
            work(connection)
    except faults as error:
        raise CandidateUnavailable(f"{who}: {_reason(error)}{_hint(broker, error)}") from error


def _connection(who: str, broker: Broker, patience_s: float) -> Connection:
    """Not connected yet. Secrets and certificates are read anew each time."""
    from kombu import Connection

    user = password = None
    if broker.credentials is not None:
        user, password = broker.credentials.user, read_secret(who, broker.credentials.secret)
    options: dict[str, Any] = {"socket_timeout": patience_s, "socket_connect_timeout": patience_s}
    if _is_amqp(broker):
        options = {
            "confirm_publish": True,
            "read_timeout": patience_s,
            "write_timeout": patience_s,
        }
    return Connection(
        broker.url,
        userid=user,
        password=password,
        transport="pyamqp" if _is_amqp(broker) else None,  # no other one confirms
        ssl=_tls(who, broker),
        connect_timeout=patience_s,
        transport_options=options,
    )


def _tls(who: str, broker: Broker) -> dict[str, Any] | bool:
    """TLS as the client of the broker wants it to be told; False: in the clear.

    Certificate and host name are verified; the client of Redis trusts the authorities of the
    system beside the one that is named.
    """
    if not _is_secured(broker):
        return False
    files = broker.tls or TlsFiles()
    tls_for(who, files)  # says which file is at fault; the clients would not
    named = {"ca_certs": files.authority, "certfile": files.certificate, "keyfile": files.key}
    named = {key: path for key, path in named.items() if path}
    if _is_amqp(broker):
        return {
            "cert_reqs": ssl.CERT_REQUIRED,
            "server_hostname": urlsplit(broker.url).hostname,
            **named,
        }
    return {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
        **{f"ssl_{key}": path for key, path in named.items()},
    }


def _reason(error: Exception) -> str:
    """What went wrong, for a person."""
    from amqp.exceptions import AMQPError, MessageNacked

    if isinstance(error, MessageNacked):
        return "it refuses the task, its queue may be full"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, AMQPError) and error.reply_text:
        return str(error.reply_text)
    return tls_fault(error) or str(error) or type(error).__name__


def _hint(broker: Broker, error: Exception) -> str:
    """What it may mean that a broker over TLS hung up, which its clients say in their own words."""
    if not _is_secured(broker):
        return ""
    return NOT_ACCEPTED if "closed" in str(error) else hint_of(error)


def _is_amqp(broker: Broker) -> bool:
    return urlsplit(broker.url).scheme in _AMQP


def _is_secured(broker: Broker) -> bool:
    return urlsplit(broker.url).scheme in _SECURED


def _knock(connection: Connection) -> None:
    connection.channel().close()


def _send(
    broker: Broker,
    patience_s: float,
    task: str,
    task_id: str,
    arguments: Mapping[str, Any],
    connection: Connection,
) -> None:
    from kombu import Producer, Queue

    is_there = _is_amqp(broker) and _has_queue(connection, broker.queue)
    nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    Producer(connection.channel()).publish(
        ((), dict(arguments), nothing),
        serializer="json",
        exchange="",  # the default exchange: routing keys are queues
        routing_key=broker.queue,
        declare=[] if is_there else [Queue(broker.queue)],
        delivery_mode="persistent",
        mandatory=True,  # AMQP confirms what goes to no queue, too
        confirm_timeout=patience_s,
        correlation_id=task_id,
        headers={
            "lang": "py",
            "task": task,
            "id": task_id,
            "root_id": task_id,
            "parent_id": None,
            "group": None,
            "shadow": None,
            "eta": None,
            "expires": None,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": "",
            "kwargsrepr": "",
            "origin": "dicom-router",
            "ignore_result": True,
        },
    )


def _has_queue(connection: Connection, queue: str) -> bool:
    """Whether there is a queue, which is then left as its workers have made it."""
    from amqp.exceptions import NotFound

    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except NotFound:  # and the channel is closed
        return False
    channel.close()
    return True
