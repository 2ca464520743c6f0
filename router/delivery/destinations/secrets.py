"""Certificates and secrets, read anew whenever they are needed, so that renewed ones count."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import anyio

from router.domain.candidate import Candidate
from router.domain.errors import CandidateUnavailable
from router.domain.reach import DimseReach, Secret, TlsFiles

NOT_ACCEPTED = "; it may not accept the certificate that we show, or want one"
"""What it may mean that somebody hangs up on TLS."""


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """A client's context; raises ``OSError`` (``SSLError``) when a file cannot be used."""
    context = ssl.create_default_context(cafile=files.authority or None)
    if files.certificate:
        context.load_cert_chain(files.certificate, files.key or None)
    return context


def tls_for(who: str, files: TlsFiles) -> ssl.SSLContext:
    """A client's context; ``who`` it is for. Raises ``CandidateUnavailable``, and blocks."""
    try:
        return tls_context(files)
    except (OSError, ValueError) as error:
        raise CandidateUnavailable(f"{who}: a certificate cannot be used: {error}") from error


def tls_fault(error: BaseException) -> str:
    """What TLS has against a connection that failed, in words; empty: it was not TLS."""
    alerts = [one for one in _causes(error) if isinstance(one, ssl.SSLError)]
    for alert in alerts:
        if reason := getattr(alert, "verify_message", ""):
            return f"its certificate is not trusted: {reason}"
    if not alerts:
        return ""
    said = alerts[-1].reason or str(alerts[-1])
    if "ALERT" in said and ("CERTIFICATE" in said or "UNKNOWN_CA" in said):
        return f"it does not accept the certificate that we show: {said}"
    return f"TLS failed: {said}"


def hint_of(error: BaseException) -> str:
    """What it may mean that the other side hung up on TLS; its reason often comes too late."""
    ends = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError)
    has_ended = any(isinstance(one, ends) for one in _causes(error))
    return NOT_ACCEPTED if has_ended else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it."""
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


async def tls_of(candidate: Candidate) -> ssl.SSLContext | None:
    """TLS for associations with a candidate; None: in the clear.

    Raises ``CandidateUnavailable`` when a certificate cannot be used.
    """
    reach = candidate.reach
    if not isinstance(reach, DimseReach) or reach.tls is None:
        return None
    return await anyio.to_thread.run_sync(tls_for, candidate.ae_title, reach.tls)


def read_secret(who: str, secret: Secret) -> str:
    """The secret itself, without the blanks around it. Raises ``CandidateUnavailable``."""
    text = read_secret_file(who, secret)
    if not text.isprintable():
        raise CandidateUnavailable(f"{who}: what {secret} holds is no secret of one line")
    return text


def read_secret_file(who: str, secret: Secret) -> str:
    """A secret of as many lines as it has. Raises ``CandidateUnavailable``."""
    try:
        text = Path(secret.file).read_text("utf-8") if secret.file else os.environ[secret.variable]
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise CandidateUnavailable(f"{who}: {secret} cannot be read: {error}") from error
    text = text.strip()
    if not text:
        raise CandidateUnavailable(f"{who}: {secret} is empty")
    return text
