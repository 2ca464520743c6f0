"""NKeys and JWTs for a NATS server, as ``nk`` and ``nsc`` make them."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from typing import Any

import nkeys

OPERATOR, ACCOUNT, USER = (
    nkeys.PREFIX_BYTE_OPERATOR,
    nkeys.PREFIX_BYTE_ACCOUNT,
    nkeys.PREFIX_BYTE_USER,
)
UNLIMITED = -1


@dataclass(frozen=True)
class Key:
    """A fresh key."""

    seed: str
    public: str

    @classmethod
    def made(cls, prefix: int) -> Key:
        """One of this kind."""
        seed = nkeys.encode_seed(os.urandom(32), prefix)
        return cls(seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode())

    def vouches(self, subject: Key, **claims: Any) -> str:
        """A JWT about another key."""
        claim = {
            "jti": "TEST",
            "iat": 1767225600,
            "iss": self.public,
            "name": "test",
            "sub": subject.public,
            "nats": {"version": 2, **claims},
        }
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        signed = f"{_encoded(header)}.{_encoded(claim)}"
        signature = nkeys.from_seed(bytearray(self.seed.encode())).sign(signed.encode())
        return f"{signed}.{_base64(signature)}"


def operated() -> tuple[str, str]:
    """The configuration of a server that knows whom its operator vouches for; a user's file."""
    operator, account, user = Key.made(OPERATOR), Key.made(ACCOUNT), Key.made(USER)
    of_account = dict.fromkeys(("subs", "data", "payload", "conn", "leaf"), UNLIMITED)
    account_jwt = operator.vouches(
        account,
        type="account",
        limits={**of_account, "imports": UNLIMITED, "exports": UNLIMITED, "wildcards": True},
        default_permissions={"pub": {}, "sub": {}},
    )
    of_user = dict.fromkeys(("subs", "data", "payload"), UNLIMITED)
    user_jwt = account.vouches(user, type="user", pub={}, sub={}, **of_user)
    configuration = (
        f"operator: {operator.vouches(operator, type='operator')}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {account.public}: {account_jwt} }}\n"
    )
    return configuration, (
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


def _encoded(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
