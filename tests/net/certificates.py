"""Keys and certificates for tests, made by the openssl program."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers import missing


def require_openssl() -> str:
    """The openssl program; skips a test without it, but under CI=true that is a failure."""
    program = shutil.which("openssl")
    return program or missing("openssl")


@dataclass(frozen=True, slots=True)
class Identity:
    """A key and its self-signed certificate."""

    key: Path
    certificate: Path

    def server_context(self, *, trusts: Identity | None = None) -> ssl.SSLContext:
        """A server of this identity; with ``trusts``, clients must have that one."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        if trusts is not None:
            context.load_verify_locations(trusts.certificate)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self, *, trusts: Identity | None = None) -> ssl.SSLContext:
        """A client of this identity that trusts its like."""
        context = anonymous_context(trusts)
        context.load_cert_chain(self.certificate, self.key)
        return context


def anonymous_context(trusts: Identity | None) -> ssl.SSLContext:
    """A client without a certificate; trusts the system's authorities if nobody else."""
    return ssl.create_default_context(cafile=None if trusts is None else str(trusts.certificate))


def make_identity(
    directory: Path, name: str, subject: str = "IP:127.0.0.1", issuer: Identity | None = None
) -> Identity:
    """A fresh key, and a certificate that names ``subject``; by itself if not by an ``issuer``."""
    made = Identity(directory / f"{name}.key", directory / f"{name}.pem")
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    naming = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={subject}", "-days", "2"]
    by = [] if issuer is None else _issued_by(issuer, directory)
    subprocess.run(
        [require_openssl(), "req", *kind, *files, *naming, *by], check=True, capture_output=True
    )
    return made


def _issued_by(issuer: Identity, directory: Path) -> list[str]:
    """Options for a certificate that can issue no others."""
    bare = directory / "openssl.cnf"  # openssl's own would add that it can
    bare.write_text("[req]\ndistinguished_name = name\n[name]\n")
    by = ["-CA", str(issuer.certificate), "-CAkey", str(issuer.key)]
    return [*by, "-config", str(bare), "-addext", "basicConstraints=critical,CA:FALSE"]
