"""The kinds of candidates: what is said of them agrees wherever it stands."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from router.domain.paths import parse_template
from router.domain.reach import (
    Broker,
    ChrisReach,
    Credentials,
    NatsKey,
    Progress,
    S3Reach,
    Secret,
    TlsFiles,
    WebReach,
)
from router.registry.overlay import static_candidate
from router.settings.kinds import KINDS
from router.settings.load import examine_text
from router.settings.values import Kind, RegisteredKind


def test_every_kind_that_can_be_named_has_its_keys() -> None:
    assert tuple(KINDS) == get_args(Kind)


def test_a_writer_may_register_itself_by_the_kinds_that_have_an_address_in_the_network() -> None:
    for kind, keys in KINDS.items():
        has_address = not {"path", "bucket"} & set(keys.address)
        assert (kind in get_args(RegisteredKind)) == has_address


def test_a_bucket_has_its_keys_from_elsewhere_and_a_template(tmp_path: Path) -> None:
    (tmp_path / "site.pem").write_text("a certificate")
    text = """
candidates:
  LAKE:
    kind: s3
    url: https://s3.example/
    bucket: studies
    auth: {user: access-key, password_env: PATH}
    tls: {authority: site.pem}
    files: "{StudyInstanceUID}/{SOPInstanceUID}.dcm"
"""
    settings = examine_text(text, "test.yaml", tmp_path).settings
    assert settings is not None

    candidate = static_candidate("LAKE", settings.candidates["LAKE"], 2)

    assert candidate.address == "https://s3.example/studies"
    assert candidate.reach == S3Reach(
        "https://s3.example",
        "studies",
        "us-east-1",
        Credentials(Secret(variable="PATH"), "access-key"),
        parse_template("{StudyInstanceUID}/{SOPInstanceUID}.dcm"),
        str(tmp_path / "site.pem"),
    )


def test_secrets_and_certificates_are_references_relative_to_the_file(tmp_path: Path) -> None:
    for name in ("password", "authority.pem", "router.pem"):
        (tmp_path / name).write_text("secret")
    text = """
candidates:
  VNA:
    kind: stow-rs
    url: https://vna.example:8443/dicom-web/
    auth: {user: router, password_file: password}
    tls: {authority: authority.pem, certificate: router.pem}
"""
    settings = examine_text(text, "test.yaml", tmp_path).settings
    assert settings is not None

    candidate = static_candidate("VNA", settings.candidates["VNA"], 2)

    assert (candidate.host, candidate.port) == ("vna.example", 8443)
    assert candidate.reach == WebReach(
        "https://vna.example:8443/dicom-web",
        Credentials(Secret(file=str(tmp_path / "password")), "router"),
        TlsFiles(str(tmp_path / "authority.pem"), str(tmp_path / "router.pem")),
    )


def test_chris_has_the_queue_and_the_subjects_of_oxidicom_unless_others_are_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "password").write_text("secret")
    text = """
candidates:
  CHRIS: {kind: chris, path: ., broker: redis://cube:6379/0, nats: nats://nats:4222}
  OTHER:
    kind: chris
    path: .
    broker: redis://cube:6379/0
    auth: {user: default, password_file: password}
    queue: pacs
    pacs_name: HOSPITAL
"""
    settings = examine_text(text, "test.yaml", tmp_path).settings
    assert settings is not None

    chris = static_candidate("CHRIS", settings.candidates["CHRIS"], 2)
    other = static_candidate("OTHER", settings.candidates["OTHER"], 2)

    url = "redis://cube:6379/0"
    assert chris.reach == ChrisReach(
        str(tmp_path), Broker(url, "main2"), Progress("nats://nats:4222", "oxidicom")
    )
    known = Credentials(Secret(file=str(tmp_path / "password")), "default")
    assert other.reach == ChrisReach(str(tmp_path), Broker(url, "pacs", known), None, "HOSPITAL")


def test_chris_has_credentials_and_certificates_for_its_broker_and_for_nats(tmp_path: Path) -> None:
    for name in ("password", "site.pem", "router.pem", "nats.pem", "seed", "router.creds"):
        (tmp_path / name).write_text("secret")
    section = """
    kind: chris
    path: .
    broker: amqps://cube:5671/pacs
    auth: {user: router, password_file: password}
    tls: {authority: site.pem, certificate: router.pem}
    nats: tls://nats:4222
    nats_tls: {authority: nats.pem}
"""
    shown = (
        "{user: router, password_env: PATH}",
        "{nkey_file: seed}",
        "{creds_file: router.creds}",
    )
    text = "candidates:\n" + "".join(
        f"  CHRIS{number}:{section}    nats_auth: {auth}\n" for number, auth in enumerate(shown)
    )
    settings = examine_text(text, "test.yaml", tmp_path).settings
    assert settings is not None

    reaches = [static_candidate(name, one, 2).reach for name, one in settings.candidates.items()]

    def here(name: str) -> str:
        return str(tmp_path / name)

    broker = Broker(
        "amqps://cube:5671/pacs",
        "main2",
        Credentials(Secret(here("password")), "router"),
        TlsFiles(here("site.pem"), here("router.pem")),
    )
    proofs: tuple[Credentials | NatsKey, ...] = (
        Credentials(Secret(variable="PATH"), "router"),
        NatsKey(Secret(here("seed"))),
        NatsKey(Secret(here("router.creds")), has_jwt=True),
    )
    nats = [
        Progress("tls://nats:4222", "oxidicom", one, TlsFiles(here("nats.pem"))) for one in proofs
    ]
    assert reaches == [ChrisReach(str(tmp_path), broker, progress) for progress in nats]
