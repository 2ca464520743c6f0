"""The certificate by which the router is known over TLS, from its files."""

from __future__ import annotations

import ssl

from router.domain.errors import ConfigurationError
from router.settings.models import Settings


def acceptor_context(settings: Settings) -> ssl.SSLContext | None:
    """What a server needs for associations over TLS; None: they are not offered.

    TLS 1.2 or later, as the BCP 195 profiles of PS3.15 annex B ask. With ``tls.authority`` senders
    have to show a certificate, too. Raises ``ConfigurationError`` for a file that cannot be used.
    """
    tls = settings.tls
    if tls.listen is None:
        return None
    if tls.certificate is None:
        raise ConfigurationError("tls.certificate: is missing; senders have to be shown one")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ValueError) as error:
        key = f" with {tls.key}" if tls.key else ""
        raise ConfigurationError(
            f"tls.certificate: {tls.certificate}{key} cannot be used: {error}"
        ) from error
    if tls.authority is not None:
        try:
            context.load_verify_locations(tls.authority)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"tls.authority: {tls.authority} cannot be used: {error}"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
