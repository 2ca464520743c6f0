"""Modalities that send over TLS: dcmtk and pynetdicom, and what is in the way of others."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from aiohttp import ClientSession
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from router.app import running
from router.settings.load import examine_text
from tests.corpus import make_ct_series
from tests.e2e.stack import data_set_of
from tests.interop.conftest import PATIENCE_S, run_blocking
from tests.net.certificates import Identity, make_identity
from tests.peers import dcmtk, storescp

CALL = ("-aec", "ROUTER", "127.0.0.1")


@dataclass(frozen=True)
class Secured:
    """A router that offers TLS."""

    plain_port: int
    port: int
    url: str


@pytest.fixture
def router_identity(tmp_path: Path) -> Identity:
    return make_identity(tmp_path, "router")


@pytest.fixture
def modality(tmp_path: Path) -> Identity:
    return make_identity(tmp_path, "modality")


@asynccontextmanager
async def secured(
    folder: Path, identity: Identity, authority: Path | None = None, candidates: str = "{}"
) -> AsyncIterator[Secured]:
    """A router with a port for TLS beside the plain one."""
    folder.mkdir()
    more = f", authority: {authority}" if authority else ""
    text = f"""
router: {{dicom: 127.0.0.1:0, http: 127.0.0.1:0, data: data}}
tls: {{listen: 127.0.0.1:0, certificate: {identity.certificate}, key: {identity.key}{more}}}
completion: {{quiet_after: 300ms, stable_after: 5s}}
candidates: {candidates}
"""
    examination = examine_text(text, "test.yaml", folder)
    assert examination.settings is not None, examination.report
    async with running(examination.settings) as router:
        assert router.tls_port is not None
        yield Secured(router.dicom_port, router.tls_port, router.http_url)


def tls(identity: Identity, trusted: Identity) -> tuple[str, ...]:
    """Options of dcmtk for a modality that shows a certificate and looks at the router's."""
    return ("+tls", str(identity.key), str(identity.certificate), "+cf", str(trusted.certificate))


async def succeeds(work: Callable[[], object]) -> bool:
    """Whether dcmtk's program ends well, run beside the router in this process."""
    done = await run_blocking(work)
    return bool(done.returncode == 0)


async def test_a_study_that_dcmtk_sends_over_tls_arrives_byte_for_byte(
    tmp_path: Path, router_identity: Identity, modality: Identity
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=5, rows=256, columns=256)
    with storescp(tmp_path / "writer") as writer:
        candidates = f"{{BACKUP: {{host: 127.0.0.1, port: {writer.port}}}}}"
        async with (
            secured(tmp_path / "router", router_identity, candidates=candidates) as router,
            ClientSession(router.url) as session,
        ):
            send = (*tls(modality, router_identity), *CALL, str(router.port), "+sd")
            assert await succeeds(lambda: dcmtk("storescu", *send, str(tmp_path / "ct")))
            with anyio.fail_after(PATIENCE_S):
                while len(writer.data_sets()) < len(paths):
                    await anyio.sleep(0.05)
            async with session.get("/studies") as answer:
                [study] = (await answer.json())["studies"]
        assert study["instances"] == len(paths)
        assert sorted(writer.data_sets().values()) == sorted(map(data_set_of, paths))


async def test_only_senders_that_the_authority_knows_are_served_where_one_is_named(
    tmp_path: Path, router_identity: Identity, modality: Identity
) -> None:
    stranger = make_identity(tmp_path, "stranger")
    async with secured(tmp_path / "router", router_identity, modality.certificate) as router:

        def echo(*options: str) -> Callable[[], object]:
            return lambda: dcmtk("echoscu", "-to", "5", *options, *CALL, str(router.port))

        assert await succeeds(echo(*tls(modality, router_identity)))
        assert not await succeeds(echo(*tls(stranger, router_identity)))
        assert not await succeeds(echo("+tla", "+cf", str(router_identity.certificate)))
        assert await succeeds(echo(*tls(modality, router_identity)))


async def test_the_plain_port_stays_and_each_port_speaks_its_own(
    tmp_path: Path, router_identity: Identity
) -> None:
    async with secured(tmp_path / "router", router_identity) as router:
        plain, over_tls = str(router.plain_port), str(router.port)
        anonymous = ("+tla", "+cf", str(router_identity.certificate))

        def echo(*options: str) -> Callable[[], object]:
            return lambda: dcmtk("echoscu", "-to", "5", *options)

        assert await succeeds(echo(*CALL, plain))
        assert await succeeds(echo(*anonymous, *CALL, over_tls))
        assert not await succeeds(echo(*CALL, over_tls))
        assert not await succeeds(echo(*anonymous, *CALL, plain))
        assert await succeeds(echo(*CALL, plain))


async def test_pynetdicom_over_tls_is_served_with_1_2_and_later_only(
    tmp_path: Path, router_identity: Identity
) -> None:
    async with secured(tmp_path / "router", router_identity) as router:

        def established(version: ssl.TLSVersion) -> bool:
            context = ssl.create_default_context(cafile=str(router_identity.certificate))
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            entity = AE("MODALITY")
            entity.add_requested_context(Verification)
            association = entity.associate(
                "127.0.0.1", router.port, ae_title="ROUTER", tls_args=(context, "127.0.0.1")
            )
            if not association.is_established:
                return False
            answer = association.send_c_echo()
            association.release()
            return bool(answer.Status == 0)

        assert await run_blocking(established, ssl.TLSVersion.TLSv1_3)
        assert await run_blocking(established, ssl.TLSVersion.TLSv1_2)

        def shake_hands_with_1_1() -> None:
            context = ssl.create_default_context(cafile=str(router_identity.certificate))
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
            with socket.create_connection(("127.0.0.1", router.port)) as connection:
                context.wrap_socket(connection, server_hostname="127.0.0.1").close()

        # the router hangs up; what this client cannot do itself would be another error
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            await run_blocking(shake_hands_with_1_1)
