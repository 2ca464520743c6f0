"""What the router shows to a NATS server, and that it is shown over TLS where it has to be.

The client goes over to TLS only where the server asks for it, and one that does not ask may be
somebody in between. So for ``tls://`` nothing is given away before TLS has begun.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from router.delivery.destinations.secrets import read_secret, read_secret_file, tls_for
from router.domain.errors import CandidateUnavailable
from router.domain.reach import Credentials, NatsKey, Progress, TlsFiles

_CREDS = re.compile(
    r"-+BEGIN NATS USER JWT-+\s+(\S+)\s+-+END NATS USER JWT-+.*"
    r"-+BEGIN USER NKEY SEED-+\s+(\S+)\s+-+END USER NKEY SEED-+",
    re.DOTALL,
)
_JWT_AND_SEED = (
    "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n"
    "-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n"
)


def connect_options(who: str, progress: Progress) -> dict[str, Any]:
    """TLS and credentials as the client's ``connect`` takes them; ``who`` they are for.

    All is read anew. Raises ``CandidateUnavailable``, and blocks.
    """
    given = _credentials(who, progress.credentials)
    if urlsplit(progress.url).scheme != "tls":
        return given
    context = tls_for(who, progress.tls or TlsFiles())
    last = "password" if "password" in given else "token"  # what the client asks for at the end
    return {**given, last: _once_secured(context, given.get(last)), "tls": context}


def _credentials(who: str, shown: Credentials | NatsKey | None) -> dict[str, Any]:
    match shown:
        case None:
            return {}
        case Credentials(secret, ""):
            return {"token": read_secret(who, secret)}
        case Credentials(secret, user):
            return {"user": user, "password": read_secret(who, secret)}
        case NatsKey(secret, has_jwt=False):
            return {"nkeys_seed_str": _seed(who, shown, read_secret(who, secret))}
        case NatsKey(secret):
            return {"user_credentials": _jwt_and_seed(who, shown, read_secret_file(who, secret))}


def _seed(who: str, key: NatsKey, seed: str) -> str:
    """The seed, if it is one; the client would not say so."""
    import nkeys

    try:
        nkeys.from_seed(bytearray(seed, "ascii")).wipe()
    except (nkeys.NkeysError, ValueError) as error:
        raise CandidateUnavailable(f"{who}: {key.secret} holds no seed of an nkey") from error
    return seed


def _jwt_and_seed(who: str, key: NatsKey, text: str) -> Any:
    """The contents of a credentials file, if it is one; else the client would search for ever."""
    from nats.aio.client import RawCredentials

    found = _CREDS.search(text)
    if found is None:
        raise CandidateUnavailable(f"{who}: {key.secret} is no credentials file of NATS")
    return RawCredentials(_JWT_AND_SEED.format(found[1], _seed(who, key, found[2])))


def _once_secured(context: ssl.SSLContext, secret: str | None) -> Callable[[], str | None]:
    """Gives a secret to the client, but not before a connection of this context is over TLS."""
    from nats.errors import SecureConnWantedError

    secured: list[bool] = []

    class Witness(ssl.SSLObject):
        """Sees a handshake end well."""

        def do_handshake(self) -> None:
            super().do_handshake()
            secured.append(True)

    def give() -> str | None:
        if not secured:
            raise SecureConnWantedError
        return secret

    context.sslobject_class = Witness
    return give
