"""Certificates and secrets, read anew whenever they are needed, so that renewed ones count."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import anyio

from router.domain.candidate import Candidate
from router.domain.errors import CandidateUnavailable
from router.domain.reach import DimseReach, Secret, TlsFiles


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """A client's context; raises ``OSError`` (``SSLError``) when a file cannot be used."""
    context = ssl.create_default_context(cafile=files.authority or None)
    if files.certificate:
        context.load_cert_chain(files.certificate, files.key or None)
    return context


async def tls_of(candidate: Candidate) -> ssl.SSLContext | None:
    """TLS for associations with a candidate; None: in the clear.

    Raises ``CandidateUnavailable`` when a certificate cannot be used.
    """
    reach = candidate.reach
    if not isinstance(reach, DimseReach) or reach.tls is None:
        return None
    try:
        return await anyio.to_thread.run_sync(tls_context, reach.tls)
    except (OSError, ValueError) as error:
        raise CandidateUnavailable(
            f"{candidate.ae_title}: a certificate cannot be used: {error}"
        ) from error


def read_secret(who: str, secret: Secret) -> str:
    """The secret itself, without the blanks around it. Raises ``CandidateUnavailable``."""
    try:
        text = Path(secret.file).read_text("utf-8") if secret.file else os.environ[secret.variable]
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise CandidateUnavailable(f"{who}: {secret} cannot be read: {error}") from error
    text = text.strip()
    if not text or not text.isprintable():
        raise CandidateUnavailable(f"{who}: what {secret} holds is no secret of one line")
    return text
