"""Sends tasks to the workers of a Celery application, through its broker, as Celery does.

The message is that of https://docs.celeryq.dev/en/stable/internals/protocol.html (version 2).
Its fields for logs stay empty: Celery would write the arguments there, and they name a patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import anyio

from router.delivery.destinations.secrets import read_secret
from router.domain.errors import CandidateUnavailable
from router.domain.reach import Broker

LONGER_THAN_ITS_STEPS = 3
"""Whoever waits has more patience than each step of the thread, and learns its reason."""


class TaskBroker:
    """The broker of one candidate."""

    def __init__(self, who: str, broker: Broker, patience_s: float):
        """``who`` it belongs to, for people; ``patience_s``: so long a single step may take."""
        self._who = f"{who}: broker {broker.url}"
        self._broker = broker
        self._patience_s = patience_s

    async def send(self, task: str, task_id: str, arguments: Mapping[str, Any]) -> None:
        """Queue a task; on return the broker has it. Raises ``CandidateUnavailable``.

        When it raises, the broker may have it nevertheless.
        """
        await self._do(partial(_send, self._broker.queue, task, task_id, arguments))

    async def probe(self) -> None:
        """Ask whether the broker is there and lets us in; raises ``CandidateUnavailable``."""
        await self._do(None)

    async def _do(self, work: partial[None] | None) -> None:
        password = ""
        if self._broker.credentials is not None:
            password = read_secret(self._who, self._broker.credentials.secret)
        talk = partial(_talk, self._who, self._broker, password, self._patience_s, work)
        try:
            with anyio.fail_after(LONGER_THAN_ITS_STEPS * self._patience_s):
                await anyio.to_thread.run_sync(talk, abandon_on_cancel=True)
        except TimeoutError as error:
            raise CandidateUnavailable(f"{self._who} does not answer") from error


def _talk(
    who: str, broker: Broker, password: str, patience_s: float, work: partial[None] | None
) -> None:
    """Connect and do something, in a worker thread; raises ``CandidateUnavailable``."""
    from kombu import Connection
    from kombu.exceptions import OperationalError

    user = broker.credentials.user if broker.credentials else None
    connection = Connection(
        broker.url,
        userid=user,
        password=password or None,
        connect_timeout=patience_s,
        transport_options={
            "socket_timeout": patience_s,
            "socket_connect_timeout": patience_s,
        },
    )
    faults = (*connection.connection_errors, *connection.channel_errors, OperationalError)
    try:
        with connection:
            channel = connection.channel()  # asks the broker, and no more than once
            if work is not None:
                work(channel)
    except faults as error:
        raise CandidateUnavailable(f"{who}: {error or type(error).__name__}") from error


def _send(queue: str, task: str, task_id: str, arguments: Mapping[str, Any], channel: Any) -> None:
    from kombu import Exchange, Producer, Queue

    nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    Producer(channel).publish(
        ((), dict(arguments), nothing),
        serializer="json",
        exchange="",  # the default exchange: routing keys are queues
        routing_key=queue,
        declare=[Queue(queue, Exchange(queue, type="direct"), routing_key=queue)],
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
