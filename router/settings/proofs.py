"""Secrets and certificates in the routing YAML: what is wrong with them, what they are inside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from router.domain.reach import Credentials, NatsKey, Secret, TlsFiles
from router.settings.candidate import AuthSection, NatsAuthSection, TlsSection


def auth_misfits(auth: AuthSection) -> Iterator[str]:
    """What is wrong with credentials."""
    tokens = [auth.token_file, auth.token_env]
    passwords = [auth.password_file, auth.password_env]
    if auth.user is None:
        if sum(one is not None for one in tokens) != 1 or any(passwords):
            yield "needs token_file or token_env, or a user with password_file or password_env"
            return
    elif sum(one is not None for one in passwords) != 1 or any(tokens):
        yield "needs password_file or password_env for its user, and no token"
        return
    yield from _missing((auth.token_file, auth.password_file), (auth.token_env, auth.password_env))


def nats_auth_misfits(auth: NatsAuthSection) -> Iterator[str]:
    """What is wrong with what is shown to a NATS server."""
    passwords = (auth.password_file, auth.password_env)
    others = (auth.token_file, auth.token_env, auth.nkey_file, auth.nkey_env, auth.creds_file)
    if auth.user is not None:
        if sum(one is not None for one in passwords) != 1 or any(others):
            yield "needs password_file or password_env for its user, and nothing else"
            return
    elif sum(one is not None for one in others) != 1 or any(passwords):
        yield (
            "needs one of token_file, token_env, nkey_file, nkey_env and creds_file, or a user "
            "with password_file or password_env"
        )
        return
    yield from _missing(
        (auth.token_file, auth.password_file, auth.nkey_file, auth.creds_file),
        (auth.token_env, auth.password_env, auth.nkey_env),
    )


def tls_misfits(
    tls: TlsSection, where: str, url: str | None, schemes: Sequence[str]
) -> Iterator[str]:
    """What is wrong with certificates, for a ``url`` at the key ``where``; None: for no URL.

    ``schemes``: those that are spoken over TLS.
    """
    if url is not None and url.partition(":")[0] not in schemes:
        yield f"is of no use: {where} does not begin with {' or '.join(schemes)}"
    if tls.key is not None and tls.certificate is None:
        yield "has a key without a certificate"
    for path in (tls.authority, tls.certificate, tls.key):
        if path is not None and (reason := unreadable(path)):
            yield f"{path} cannot be read: {reason}"


def unreadable(path: Path) -> str:
    """Why a file cannot be read as text; empty: it can."""
    try:
        return "" if path.read_text(encoding="utf-8").strip() else "it is empty"
    except UnicodeDecodeError:
        return "it is not text"
    except OSError as error:
        return error.strerror or str(error)


def credentials(auth: AuthSection | NatsAuthSection) -> Credentials:
    """A token, or a user and the password."""
    if auth.user is None:
        return Credentials(_secret(auth.token_file, auth.token_env))
    return Credentials(_secret(auth.password_file, auth.password_env), auth.user)


def nats_credentials(auth: NatsAuthSection) -> Credentials | NatsKey:
    """What is shown to a NATS server."""
    if auth.creds_file is not None:
        return NatsKey(_secret(auth.creds_file, None), has_jwt=True)
    if auth.nkey_file is not None or auth.nkey_env is not None:
        return NatsKey(_secret(auth.nkey_file, auth.nkey_env))
    return credentials(auth)


def tls_files(tls: TlsSection | None) -> TlsFiles | None:
    """Whom the router trusts, and how it proves who it is."""
    if tls is None:
        return None
    return TlsFiles(
        *("" if path is None else str(path) for path in (tls.authority, tls.certificate, tls.key))
    )


def _missing(paths: Iterable[Path | None], variables: Iterable[str | None]) -> Iterator[str]:
    for path in paths:
        if path is not None and (reason := unreadable(path)):
            yield f"{path} cannot be read: {reason}"
    for variable in variables:
        if variable is not None and not os.environ.get(variable):
            yield f"the environment variable {variable} is not set"


def _secret(file: Path | None, variable: str | None) -> Secret:
    return Secret("" if file is None else str(file), variable or "")
