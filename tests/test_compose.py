"""The compose files say what router and writer understand; no container is started here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from candidates.agent.dicom_router_agent import registration_of
from candidates.writer import cli as writer_cli
from router.cli import main as router_cli
from router.domain.criteria import parse_criteria
from router.registry.request import RegistrationRequest
from router.settings.load import examine_settings
from router.settings.models import Settings
from tests import peers

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "compose"
CONTAINERFILE = (COMPOSE / "Containerfile").read_text()
CONFIG_IN_CONTAINER = "/etc/dicom-router/router.yaml"
CONTAINERFILES = ("compose/Containerfile", "compose/orthanc/Containerfile")
CRITERIA = {
    "generic-writer": "MODALITY|NOT_IN|CR,DX",
    "xray-writer": "MODALITY|IN|CR,DX",
    "backup-writer": None,
}


def document(name: str) -> dict[str, Any]:
    """A compose file, its anchors and merges resolved."""
    parsed: dict[str, Any] = yaml.safe_load((COMPOSE / name).read_text())
    return parsed


def services(name: str) -> dict[str, dict[str, Any]]:
    """The services of a compose file."""
    found: dict[str, dict[str, Any]] = document(name)["services"]
    return found


def writers(name: str) -> dict[str, dict[str, Any]]:
    return {key: service for key, service in services(name).items() if key != "router"}


def of_image() -> dict[str, str]:
    """The environment that the image sets."""
    words = [
        word for line in re.findall(r"^ENV (.*)$", CONTAINERFILE, re.M) for word in line.split()
    ]
    return dict(word.split("=", 1) for word in words)


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a service's container."""
    own: list[str] = service.get("environment", [])
    return {**of_image(), **dict(line.split("=", 1) for line in own)}


def writer_options(monkeypatch: pytest.MonkeyPatch, service: Mapping[str, Any]) -> dict[str, Any]:
    """What the writer's command line makes of a service, checked as at its start."""
    for name in known_variables():
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    program, *arguments = service["command"]
    assert program == "dicom-writer"
    command = typer.main.get_command(writer_cli.app)
    return command.make_context(program, list(arguments)).params


def known_variables() -> set[str]:
    """Every variable that the writer reads."""
    command = typer.main.get_command(writer_cli.app)
    return {str(option.envvar) for option in command.params if option.envvar}


def config_of(name: str) -> Path:
    """The routing YAML that a compose file mounts."""
    volumes: list[str] = services(name)["router"]["volumes"]
    mounts = [volume.split(":") for volume in volumes]
    [source] = [mount[0] for mount in mounts if mount[1] == CONFIG_IN_CONTAINER]
    return COMPOSE / source


def settings_of(name: str) -> Settings:
    examination = examine_settings(config_of(name))
    assert examination.settings is not None, examination.report
    assert examination.report == ""
    return examination.settings


FILES = ("seed.yaml", "minimal.yaml", "orthanc.yaml")
every_file = pytest.mark.parametrize("name", FILES)
embedded = pytest.mark.parametrize("name", ["seed.yaml", "minimal.yaml"])


@every_file
def test_compose_takes_the_file_and_finds_what_it_names(name: str) -> None:
    resolved = config_by_compose(name)

    found: dict[str, dict[str, Any]] = resolved["services"]
    assert {key: environment_in(service) for key, service in found.items()} == {
        key: dict(line.split("=", 1) for line in service.get("environment", []))
        for key, service in services(name).items()
    }
    for service in found.values():
        assert Path(service["build"]["context"]) == ROOT
        assert service["read_only"] is True
    assert resolved["volumes"].keys() == document(name)["volumes"].keys()


def config_by_compose(name: str) -> dict[str, Any]:
    """What ``docker compose config`` makes of a file; it asks no engine.

    Version 1, which Debian 12 has, takes the name of a project as an option only: there the file
    goes in without that line. Everything else is read as it stands.
    """
    peers.require("docker-compose")
    program = str(peers.PROGRAMS["docker-compose"])
    text = (COMPOSE / name).read_text()
    where = ["--project-name", document(name)["name"]]
    if run_compose([program, "version", "--short"]).startswith("1."):
        text = re.sub(r"^name: .*\n", "", text, count=1, flags=re.M)
        where += ["--file", "-"]
    else:
        where += ["--file", name]
    resolved: dict[str, Any] = yaml.safe_load(run_compose([program, *where, "config"], text))
    return resolved


def run_compose(command: Sequence[str], text: str = "") -> str:
    """The output of compose, started beside the files and without a word of this environment."""
    done = subprocess.run(
        command,
        cwd=COMPOSE,
        env={"PATH": os.defpath, "HOME": os.devnull},
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment_in(service: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a service that compose has resolved."""
    said: dict[str, str] = service.get("environment") or {}
    return said


@every_file
def test_the_mounted_routing_yaml_has_no_problem_and_keeps_its_data_on_the_volume(
    name: str,
) -> None:
    volumes = services(name)["router"]["volumes"]

    assert f"router-data:{settings_of(name).router.data}" in volumes


@every_file
def test_the_published_ports_are_those_that_the_router_listens_on(name: str) -> None:
    router = settings_of(name).router

    assert services(name)["router"]["ports"] == [
        f"{router.dicom.port}:{router.dicom.port}",
        f"127.0.0.1:{router.http.port}:{router.http.port}",
    ]
    assert router.http.host == "0.0.0.0"


@every_file
def test_the_health_of_the_router_is_asked_where_it_answers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = environment(services(name)["router"])
    monkeypatch.setattr(os, "environ", said)
    [check] = re.findall(r"^HEALTHCHECK .*?CMD (\[.*\])$", joined(CONTAINERFILE), re.M)
    program, *arguments = yaml.safe_load(check)

    options = router_command(arguments)

    assert program in scripts()
    assert options["url"] == f"http://127.0.0.1:{settings_of(name).router.http.port}"
    assert "healthcheck" not in services(name)["router"]


@embedded
def test_every_variable_is_one_that_the_writer_reads(name: str) -> None:
    named = {
        line.split("=")[0] for service in writers(name).values() for line in service["environment"]
    }

    assert named <= known_variables()
    assert {"LISTEN", "STORAGE", "LOG_JSON"} <= known_variables()


@embedded
def test_every_writer_can_be_started_and_keeps_its_instances_on_a_volume(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = settings_of(name).router

    for key, service in writers(name).items():
        options = writer_options(monkeypatch, service)

        assert options["router"] == f"http://router:{router.http.port}"
        assert options["advertise"] == key
        assert options["host"] == "0.0.0.0"
        assert [volume.split(":")[1] for volume in service["volumes"]] == [
            str(options["directory"])
        ]


@pytest.mark.parametrize("key", CRITERIA)
def test_the_writers_of_the_seed_ask_for_what_they_asked_for(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    criteria = writer_options(monkeypatch, services("seed.yaml")[key])["criteria"]

    assert writers("seed.yaml").keys() == CRITERIA.keys()
    assert (criteria and parse_criteria(criteria)) == (
        CRITERIA[key] and parse_criteria(CRITERIA[key])
    )


@every_file
def test_every_named_volume_and_every_mounted_file_is_there(name: str) -> None:
    declared = document(name)["volumes"]
    sources = [
        volume.split(":")[0] for service in services(name).values() for volume in service["volumes"]
    ]

    assert {source for source in sources if not source.startswith(".")} == set(declared)
    assert all((COMPOSE / source).is_file() for source in sources if source.startswith("."))


@every_file
def test_every_service_is_built_from_the_root_by_a_containerfile_that_is_there(name: str) -> None:
    builds = [service["build"] for service in services(name).values()]

    assert all((COMPOSE / one["context"]).resolve() == ROOT for one in builds)
    assert all((ROOT / one["dockerfile"]).is_file() for one in builds)


def test_the_image_starts_a_command_of_the_router_with_the_mounted_routing_yaml(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", dict(of_image()))
    [command] = re.findall(r"^CMD (\[.*\])$", CONTAINERFILE, re.M)
    program, *arguments = yaml.safe_load(command)

    options = router_command(arguments)

    assert program in scripts()
    assert options["config"] == Path(CONFIG_IN_CONTAINER)
    assert options["log_json"] is True


def router_command(arguments: Sequence[str]) -> dict[str, Any]:
    """What the router's command line makes of the arguments of a container."""
    return command_options(router_cli.app, arguments)


def command_options(app: typer.Typer, arguments: Sequence[str]) -> dict[str, Any]:
    """What one of an app's commands makes of its arguments."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    name, *rest = arguments
    return group.commands[name].make_context(name, rest).params


def joined(containerfile: str) -> str:
    """The instructions, each on a line of its own."""
    return re.sub(r"\\\n\s*", "", containerfile)


def scripts() -> set[str]:
    """The commands that installing the project makes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["scripts"])


@embedded
def test_the_health_of_a_writer_is_asked_where_it_answers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service in writers(name).values():
        started = writer_options(monkeypatch, service)
        kind, program, *arguments = service["healthcheck"]["test"]

        asked = command_options(writer_cli.app, arguments)

        assert (kind, program) == ("CMD", "dicom-writer")
        assert asked.items() <= started.items()
        assert asked.keys() == {"ae_title", "host", "port"}


@embedded
def test_every_command_is_one_that_installing_makes(name: str) -> None:
    commands = [service["command"][0] for service in writers(name).values()]

    assert set(commands) <= scripts()


def test_the_image_installs_with_hashes_only() -> None:
    words = shlex.split(joined(CONTAINERFILE), comments=True)

    assert words.count("--requirement") == words.count("--require-hashes") == 2


def test_the_image_with_the_decoders_has_what_the_other_one_has() -> None:
    runtime, transcode = (pins(name) for name in ("runtime", "transcode"))

    assert runtime < transcode
    assert {pin.split("==")[0] for pin in transcode - runtime} == {"numpy", "python-gdcm"}


def pins(name: str) -> set[str]:
    """The packages that a lock file pins."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return {line.rstrip(" \\") for line in lines if "==" in line}


@every_file
def test_a_container_writes_to_its_volume_and_to_tmp_and_has_no_capabilities(name: str) -> None:
    for service in services(name).values():
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("path", CONTAINERFILES)
def test_an_image_needs_debian_only_and_runs_as_nobody_special(path: str) -> None:
    containerfile = (ROOT / path).read_text()

    assert set(re.findall(r"^FROM (\S+)", containerfile, re.M)) == {"debian:bookworm-slim"}
    [user] = re.findall(r"^USER (\S+)$", containerfile, re.M)
    assert user != "root"
    assert containerfile.rindex("USER ") > containerfile.rindex("RUN ")


@pytest.mark.parametrize("path", CONTAINERFILES)
def test_what_an_image_copies_is_in_its_context(path: str) -> None:
    ignored, *let_in = (ROOT / f"{path}.dockerignore").read_text().split()
    copied = {
        source.rstrip("/")
        for line in re.findall(r"^COPY (?!--)(.*)$", (ROOT / path).read_text(), re.M)
        for source in line.split()[:-1]
    }

    assert ignored == "*"
    assert all(is_below(source, let_in) for source in copied)
    assert all((ROOT / name).exists() for name in copied)


def is_below(path: str, let_in: Sequence[str]) -> bool:
    """Whether an ignore file lets a path in."""
    return any(f"{path}/".startswith(one.removeprefix("!").rstrip("/") + "/") for one in let_in)


@pytest.mark.parametrize("key", CRITERIA)
def test_each_orthanc_registers_itself_with_the_criteria_of_the_seed(
    key: str, tmp_path: Path
) -> None:
    """What its plugin makes of the container is what the router takes."""
    service = services("orthanc.yaml")[key]
    said = dict(line.split("=", 1) for line in service["environment"])
    text = Template((COMPOSE / "orthanc" / "orthanc.json").read_text()).substitute(said)
    orthanc = json.loads(text)

    made = registration_of(
        orthanc["DicomAet"],
        said["ADVERTISE"],
        orthanc["DicomPort"],
        said.get("ROUTING_CRITERIA"),
        {},
    )
    request = RegistrationRequest.model_validate(made)

    assert writers("orthanc.yaml").keys() == CRITERIA.keys()
    assert said["ROUTER_URL"] == f"http://router:{settings_of('orthanc.yaml').router.http.port}"
    assert (request.host, request.port) == (key, 4242)
    assert request.criteria == (CRITERIA[key] and parse_criteria(CRITERIA[key]))


def test_each_orthanc_keeps_its_studies_on_a_volume_and_shows_its_pages_to_this_machine() -> None:
    orthanc = json.loads((COMPOSE / "orthanc" / "orthanc.json").read_text())

    for service in writers("orthanc.yaml").values():
        [volume] = service["volumes"]
        [port] = service["ports"]

        assert orthanc["StorageDirectory"].startswith(volume.split(":")[1])
        assert port.startswith("127.0.0.1:")
        assert port.endswith(f":{orthanc['HttpPort']}")


def test_the_script_that_orthanc_starts_is_copied_where_its_configuration_looks() -> None:
    orthanc = json.loads((COMPOSE / "orthanc" / "orthanc.json").read_text())
    containerfile = (COMPOSE / "orthanc" / "Containerfile").read_text()
    [target] = re.findall(
        r"^COPY candidates/orthanc/dicom_router_plugin.py \S+ (\S+)$", containerfile, re.M
    )

    assert orthanc["PythonScript"] == f"{target}dicom_router_plugin.py"
