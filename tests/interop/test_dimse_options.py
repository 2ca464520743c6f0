"""What a candidate of kind dimse may ask for: TLS, the modality's AE title, objects of any kind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt

from router.delivery.destinations.dimse import DimseDestination
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem, OutcomeKind
from router.domain.errors import AssociationLost, CandidateUnavailable
from router.domain.instance import Identity
from router.domain.reach import MODALITY, DimseReach, TlsFiles
from router.spool.log import LocalSpool
from tests.corpus import make_ct_series
from tests.delivery.spooled import item_of, put
from tests.e2e.stack import data_set_of, free_port, wait_until
from tests.interop.conftest import dcmsend, live_router, pynetdicom_scp
from tests.net.certificates import Identity as Certificate
from tests.net.certificates import make_identity
from tests.peers import PROGRAMS, process, require

# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Certificate:
    return make_identity(tmp_path, "server")


@contextmanager
def storescp_over_tls(folder: Path, server: Certificate, *options: str) -> Iterator[int]:
    """Dcmtk's ``storescp`` with TLS; its port."""
    require("dcmtk")
    folder.mkdir()
    port = free_port()
    keys = ("+tls", str(server.key), str(server.certificate))
    command = [str(PROGRAMS["dcmtk"]), "-od", str(folder), "+B", "+xa", *keys, *options, str(port)]
    with process(command, folder.with_suffix(".log")):
        wait_until(lambda: listens(port), "storescp listens")
        yield port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_study_travels_over_tls_with_certificates_on_both_sides(
    data_folder: Path, tmp_path: Path, server: Certificate
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=12, rows=64, columns=64)
    own = make_identity(tmp_path, "router")
    mutual = ("-rc", "+cf", str(own.certificate))
    with storescp_over_tls(tmp_path / "writer", server, *mutual) as port:
        tls = f"{{authority: {server.certificate}, certificate: {own.certificate}, key: {own.key}}}"
        candidate = f"{{PACS: {{host: 127.0.0.1, port: {port}, tls: {tls}}}}}"
        async with live_router(data_folder, candidate) as router:
            await dcmsend(router, tmp_path / "ct")
            await router.settled(studies=1)

        stored = [data_set_of(path) for path in (tmp_path / "writer").iterdir()]
    assert sorted(stored) == sorted(map(data_set_of, paths))


async def test_a_certificate_that_is_not_trusted_gets_nothing_and_says_so(
    tmp_path: Path, server: Certificate, destination: DimseDestination
) -> None:
    with storescp_over_tls(tmp_path / "writer", server, "-ic") as port:
        reach = DimseReach(TlsFiles())
        with pytest.raises(AssociationLost, match="self-signed certificate"):
            await destination.probe(Candidate("PACS", "127.0.0.1", port, reach=reach))

        reach = DimseReach(TlsFiles(authority=str(server.certificate)))
        await destination.probe(Candidate("PACS", "127.0.0.1", port, reach=reach))


async def test_a_study_for_a_certificate_that_is_not_trusted_waits_until_it_is(
    data_folder: Path, tmp_path: Path, server: Certificate
) -> None:
    make_ct_series(tmp_path / "ct", instances=2, rows=8, columns=8)
    authority = tmp_path / "authority.pem"
    authority.write_text(make_identity(tmp_path, "other").certificate.read_text())
    with storescp_over_tls(tmp_path / "writer", server, "-ic") as port:
        tls = f"{{authority: '{authority}'}}"
        candidate = f"{{PACS: {{host: 127.0.0.1, port: {port}, tls: {tls}}}}}"
        async with live_router(data_folder, candidate) as router:
            await dcmsend(router, tmp_path / "ct")
            await router.until(
                "it is tried again, and says why",
                lambda answer: any(
                    one["attempts"] >= 2 and "self-signed certificate" in one["reason"]
                    for one in answer["deliveries"]
                ),
                "/deliveries",
            )
            authority.write_text(server.certificate.read_text())
            await router.settled(studies=1)


async def test_a_certificate_file_that_is_gone_is_named(destination: DimseDestination) -> None:
    reach = DimseReach(TlsFiles(authority="/no/such/file.pem"))

    with pytest.raises(CandidateUnavailable, match="PACS: a certificate cannot be used"):
        await destination.probe(Candidate("PACS", "127.0.0.1", 104, reach=reach))


# -- calling AE titles ---------------------------------------------------------------------------


@contextmanager
def recording_writer() -> Iterator[tuple[int, list[str]]]:
    """A writer, and the calling AE title of each instance that it got."""
    calling: list[str] = []

    def handle(event: Any) -> int:
        calling.append(event.assoc.requestor.ae_title)
        return 0x0000

    ae = AE("WRITER")
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.2")
    ae.add_supported_context("1.2.840.10008.1.1")
    with pynetdicom_scp(ae, {evt.EVT_C_STORE: handle}) as port:
        yield port, calling


@pytest.mark.parametrize(
    ("option", "seen"), [("", {"ROUTER"}), (", calling: modality", {"CT1", "CT2"})]
)
async def test_a_candidate_sees_the_router_or_the_modality_as_it_likes(
    data_folder: Path, tmp_path: Path, option: str, seen: set[str]
) -> None:
    for modality in ("CT1", "CT2"):
        make_ct_series(tmp_path / modality, instances=2, rows=8, columns=8)
    with recording_writer() as (port, calling):
        candidate = f"{{WRITER: {{host: 127.0.0.1, port: {port}{option}}}}}"
        async with live_router(data_folder, candidate) as router:
            for modality in ("CT1", "CT2"):
                await dcmsend(router, tmp_path / modality, calling=modality)
            await router.settled(studies=2)

    assert set(calling) == seen
    assert len(calling) == 4


async def test_instances_of_two_modalities_go_over_two_associations(
    destination: DimseDestination, spool: LocalSpool
) -> None:
    with recording_writer() as (port, _):
        reach = DimseReach(calling=MODALITY)
        candidate = Candidate("WRITER", "127.0.0.1", port, reach=reach)
        first, second = await instances(spool, 2, ["1.2.840.10008.5.1.4.1.1.2"], ["CT1", "CT2"])
        async with destination.open(candidate, [first, second]) as session:
            assert session.carries(first)
            assert not session.carries(second)


# -- many presentation contexts ------------------------------------------------------------------


async def test_more_kinds_of_objects_than_an_association_can_carry_go_over_two(
    destination: DimseDestination, spool: LocalSpool, data_folder: Path
) -> None:
    kinds = [f"1.2.826.0.1.3680043.8.498.5.1.4.1.1.{number}" for number in range(200)]
    items = await instances(spool, 400, kinds, ["CT1"])
    associations = 0
    async with live_router(data_folder, "{}", "discard: [MODALITY|IS_NULL]") as router:
        candidate = Candidate("ROUTER", "127.0.0.1", router.port)
        waiting, outcomes = list(items), []
        while waiting:  # as a sender does
            associations += 1
            async with destination.open(candidate, waiting[:256]) as session:
                while waiting and session.carries(waiting[0]):
                    outcomes.append(await session.send(waiting.pop(0)))

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.STORED}
    assert len(outcomes) == 400
    assert associations == 4  # with 128 presentation contexts each, but for the last


async def instances(
    spool: LocalSpool, count: int, sop_classes: list[str], modalities: list[str]
) -> list[DeliveryItem]:
    """Instances that take turns in their SOP classes and modalities."""
    made = []
    for number in range(count):
        uid = f"1.2.3.4.{number}"
        sop_class = sop_classes[number % len(sop_classes)]
        identity = Identity(sop_class, uid, "1.2.3", "1.2.3.1", "1.2.840.10008.1.2.1")
        data = b"".join(
            tag + b"UI" + len(value).to_bytes(2, "little") + value
            for tag, value in (
                (b"\x08\0\x16\0", padded(sop_class)),
                (b"\x08\0\x18\0", padded(uid)),
                (b"\x20\0\x0d\0", b"1.2.3\0"),
                (b"\x20\0\x0e\0", b"1.2.3.1\0"),
            )
        )
        item = item_of(await put(spool, identity, data), number)
        made.append(replace(item, calling_ae_title=modalities[number % len(modalities)]))
    return made


def padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)
