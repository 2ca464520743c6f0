"""RabbitMQ as a process of a test: a node, a folder and an epmd of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

from tests import peers
from tests.e2e.stack import free_port, wait_until
from tests.net.certificates import Identity

PROGRAMS = peers.PROGRAMS["rabbitmq"].parent
USER, PASSWORD = "cube", "the password of the broker"


@dataclass(frozen=True)
class RabbitMQ:
    """A running broker, which lets in :data:`USER` with :data:`PASSWORD`."""

    port: int
    tls_port: int
    environment: Mapping[str, str]

    def control(self, *words: str) -> str:
        """What ``rabbitmqctl`` says."""
        done = subprocess.run(
            [str(PROGRAMS / "rabbitmqctl"), "-q", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.strip()


@contextmanager
def rabbitmq(
    folder: Path, identity: Identity | None = None, *, trusts: Identity | None = None
) -> Iterator[RabbitMQ]:
    """A broker with what it had before in this folder.

    With an ``identity`` over TLS, too; with ``trusts``, clients must have that one there.
    """
    peers.require("rabbitmq")
    folder.mkdir(parents=True, exist_ok=True)
    broker = RabbitMQ(free_port(), free_port() if identity else 0, _environment(folder))
    lines = [
        f"listeners.tcp.1 = 127.0.0.1:{broker.port}",
        f"default_user = {USER}",
        f"default_pass = {PASSWORD}",
        "log.file = false",
        "log.console = true",
    ]
    if identity is not None:
        lines += [
            f"listeners.ssl.1 = 127.0.0.1:{broker.tls_port}",
            f"ssl_options.certfile = {identity.certificate}",
            f"ssl_options.keyfile = {identity.key}",
            f"ssl_options.cacertfile = {(trusts or identity).certificate}",
            f"ssl_options.verify = {'verify_peer' if trusts else 'verify_none'}",
            f"ssl_options.fail_if_no_peer_cert = {'true' if trusts else 'false'}",
        ]
    (folder / "rabbitmq.conf").write_text("".join(f"{line}\n" for line in lines))
    (folder / "enabled_plugins").write_text("[].\n")
    epmd = ["/usr/bin/epmd", "-port", broker.environment["ERL_EPMD_PORT"]]
    server = [str(PROGRAMS / "rabbitmq-server")]
    with (
        peers.process(epmd, folder / "epmd.log", env=broker.environment),
        peers.process(server, folder / "rabbitmq.log", SIGKILL, env=broker.environment),
    ):
        wait_until(lambda: peers.listens(broker.port), "RabbitMQ listens")
        yield broker


def _environment(folder: Path) -> dict[str, str]:
    """All that RabbitMQ would else look for in /etc and /var, or share with others."""
    return {
        **os.environ,
        "HOME": str(folder),  # of the cookie
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_NODENAME": "test@localhost",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        "RUNNING_UNDER_SYSTEMD": "yes",  # no shell stays between this process and the node
    }
