"""Each completion policy with a real router, real senders and real writers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from router.completion.declaring import BY_REQUEST
from router.dicom import uids
from router.dicom.negotiation import propose
from router.modality.sender import FileSource, find_files
from router.net.requestor import associate
from tests.corpus import make_study
from tests.interop.conftest import LiveRouter, live_router
from tests.peers import StoreSCP, storescp

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
CONTEXTS = [(MR_IMAGE_STORAGE, uids.EXPLICIT_VR_LITTLE_ENDIAN)]

Sending = Callable[[Sequence[Path]], Awaitable[None]]


@asynccontextmanager
async def modality(router: LiveRouter, calling: str = "MR1") -> AsyncIterator[Sending]:
    """An association of a modality, as long as the block runs; what it is given it sends."""
    async with associate(
        "127.0.0.1", router.port, calling, "ROUTER", contexts=propose(CONTEXTS)
    ) as association:

        async def send(paths: Sequence[Path]) -> None:
            for file in find_files(paths):
                with closing(FileSource(file)) as source:
                    answer = await association.store(
                        file.sop_class_uid,
                        file.sop_instance_uid,
                        file.transfer_syntax_uid,
                        source,
                    )
                    assert answer.status == 0

        yield send


async def in_state(router: LiveRouter, *states: str) -> Any:
    """The one study, as soon as its latest revision is in one of these states."""
    answer = await router.until(
        f"the study is {' or '.join(states)}",
        lambda answer: answer["studies"] and answer["studies"][0]["state"] in states,
        "/studies",
    )
    return await router.get("/studies/" + answer["studies"][0]["study_instance_uid"])


async def complete(router: LiveRouter, study: Any) -> None:
    """What a person says."""
    path = f"/studies/{study['study_instance_uid']}/complete"
    async with router.session.post(path) as answer:
        assert answer.status == 200, await answer.text()


def candidate(writer: StoreSCP) -> str:
    """A writer that gets everything."""
    return f"{{BACKUP: {{host: 127.0.0.1, port: {writer.port}}}}}"


# -- max_wait --------------------------------------------------------------------------------------


async def test_max_wait_delivers_what_is_there(data_folder: Path, tmp_path: Path) -> None:
    paths = make_study(tmp_path / "mr", T1=3)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h, max_wait: 1s}"
    with storescp(tmp_path / "writer") as writer:
        async with (
            live_router(data_folder, candidate(writer), completion=policy) as router,
            modality(router) as send,
        ):
            await send(paths)
            study = await in_state(router, "settled", "reclaimed")
        assert len(writer.data_sets()) == 3
    why = study["revisions"][0]["completed_by"]
    assert why == "not complete within 1 s of its first instance"


async def test_max_wait_holds_a_study_over_a_restart_until_a_person_completes_it(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=4)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h, max_wait: 1s, on_max_wait: hold}"
    with storescp(tmp_path / "writer") as writer:
        async with (
            live_router(data_folder, candidate(writer), completion=policy) as router,
            modality(router) as send,
        ):
            await send(paths[:1])
            await in_state(router, "held")
        async with live_router(data_folder, candidate(writer), completion=policy) as router:
            async with modality(router) as send:
                await send(paths[1:])
            await router.until(
                "the late instances have joined",
                lambda answer: answer["studies"][0]["instances"] == 4,
                "/studies",
            )
            study = await in_state(router, "held")
            assert writer.data_sets() == {}
            await complete(router, study)
            study = await in_state(router, "settled", "reclaimed")
        assert len(writer.data_sets()) == 4
    assert [revision["completed_by"] for revision in study["revisions"]] == [BY_REQUEST]


async def test_max_wait_discards_a_study_and_its_bytes_but_not_its_record(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h, max_wait: 1s, on_max_wait: discard}"
    with storescp(tmp_path / "writer") as writer:
        async with (
            live_router(
                data_folder, candidate(writer), "retention: {retain_for: 0s}", completion=policy
            ) as router,
            modality(router) as send,
        ):
            await send(paths)
            study = await in_state(router, "discarded")
            await router.until(
                "its bytes are reclaimed",
                lambda answer: answer["revisions"][0]["reclaimed_at"] is not None,
                f"/studies/{study['study_instance_uid']}",
            )
            study = await in_state(router, "discarded")
        assert writer.data_sets() == {}
    (revision,) = study["revisions"]
    assert revision["completed_by"] == "not complete within 1 s of its first instance"
    assert revision["deliveries"] == []
