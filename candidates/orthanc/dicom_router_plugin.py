"""An Orthanc that registers itself with the router: a script for its Python plugin.

Copy this file and ``dicom_router_agent.py`` into one folder and name this one in Orthanc's
configuration (``"PythonScript": "/etc/orthanc/dicom_router_plugin.py"``). It says what the
environment tells it:

- ``ROUTER_URL``: HTTP address of the router; without it the script does nothing.
- ``ROUTING_CRITERIA``: ``ATTRIBUTE|OPERATOR|VALUE``; without it Orthanc gets every study.
- ``ADVERTISE``: host name that the router sends to; default the name of this machine.
- ``REGISTRATION``: more keys of the registration as a JSON object: ``{"commitment": true}``.
- ``REGISTRATION_TOKEN_FILE``: file with the registration token.
- ``DRAIN_ON_SHUTDOWN``: ``false`` lets the router hold the studies of an Orthanc that restarts;
  by default an Orthanc that is shut down gets no new ones until it registers again.

AE title and port are Orthanc's own (``DicomAet``, ``DicomPort``).
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import orthanc

if TYPE_CHECKING:
    from candidates.agent import dicom_router_agent as agents
else:
    import dicom_router_agent as agents


class _OrthancLog(logging.Handler):
    """What the agent has to say goes into Orthanc's log."""

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{agents.log.name}: {record.getMessage()}"
        if record.levelno >= logging.ERROR:
            orthanc.LogError(line)
        elif record.levelno >= logging.WARNING:
            orthanc.LogWarning(line)
        else:
            orthanc.LogInfo(line)


def agent_of(configuration: dict[str, Any], environment: dict[str, str]) -> agents.Agent | None:
    """The agent for this Orthanc; None without a router. Raises ``ValueError``, ``OSError``."""
    url = environment.get("ROUTER_URL")
    if not url:
        return None
    extra = json.loads(environment.get("REGISTRATION") or "{}")
    if not isinstance(extra, dict):
        raise ValueError(f"REGISTRATION is no JSON object: {extra!r}")
    registration = agents.registration_of(
        str(configuration.get("DicomAet", "ORTHANC")),
        environment.get("ADVERTISE") or socket.gethostname(),
        int(configuration.get("DicomPort", 4242)),
        environment.get("ROUTING_CRITERIA"),
        extra,
    )
    token = agents.read_token(environment.get("REGISTRATION_TOKEN_FILE"))
    return agents.Agent(agents.Router(url, token), registration)


def _start() -> None:
    agents.log.addHandler(_OrthancLog())
    agents.log.setLevel(logging.INFO)
    try:
        agent = agent_of(json.loads(orthanc.GetConfiguration()), dict(os.environ))
    except (ValueError, OSError) as error:
        orthanc.LogError(f"this Orthanc is not registered with a router: {error}")
        return
    if agent is None:
        orthanc.LogWarning("ROUTER_URL is not set: this Orthanc is not registered with a router")
        return
    drains = os.environ.get("DRAIN_ON_SHUTDOWN", "true").lower() not in ("false", "no", "0")

    def changed(change: int, level: int, resource: str) -> None:
        if change == orthanc.ChangeType.ORTHANC_STARTED:  # its DICOM server is there
            threading.Thread(target=agent.run, daemon=True).start()
        elif change == orthanc.ChangeType.ORTHANC_STOPPED:
            agent.stop(drain=drains)

    orthanc.RegisterOnChangeCallback(changed)


_start()
