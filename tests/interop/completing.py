"""What tests of completion share: a modality, and a study as the router's API shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from pydicom import dcmread

from router.dicom import uids
from router.dicom.negotiation import propose
from router.modality.media import find_below
from router.modality.sender import FileSource
from router.net.requestor import associate
from tests.interop.conftest import LiveRouter

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
CONTEXTS = [
    (sop_class, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    for sop_class in (MR_IMAGE_STORAGE, CT_IMAGE_STORAGE)
]

OVER = ("settled", "reclaimed")
"""States of a study whose deliveries have come to their end."""

Sending = Callable[[Sequence[Path]], Awaitable[None]]


@asynccontextmanager
async def modality(router: LiveRouter, calling: str = "MR1") -> AsyncIterator[Sending]:
    """An association of a modality, as long as the block runs; what it is given it sends."""
    async with associate(
        "127.0.0.1", router.port, calling, "ROUTER", contexts=propose(CONTEXTS)
    ) as association:

        async def send(paths: Sequence[Path]) -> None:
            for file in (one.file for one in find_below(paths) if one.file is not None):
                with closing(FileSource(file)) as source:
                    answer = await association.store(
                        file.sop_class_uid,
                        file.sop_instance_uid,
                        file.transfer_syntax_uid,
                        source,
                    )
                    assert answer.status == 0

        yield send


def study_of(paths: Sequence[Path]) -> str:
    """The Study Instance UID of files."""
    return str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)


async def until(
    router: LiveRouter, study: str, *states: str, instances: int = 0, revisions: int = 1
) -> Any:
    """The study, as soon as its latest revision is in one of these states and it has so much."""
    return await router.until(
        f"the study is {' or '.join(states)}, of {instances} instances in {revisions} revisions",
        lambda answer: (
            answer.get("state") in states
            and answer["instances"] >= instances
            and len(answer["revisions"]) == revisions
        ),
        f"/studies/{study}",
    )


async def complete(router: LiveRouter, study: str) -> None:
    """What a person says."""
    async with router.session.post(f"/studies/{study}/complete") as answer:
        assert answer.status == 200, await answer.text()


def completed_by(study: Any) -> list[str]:
    """What completed each revision."""
    return [revision["completed_by"] for revision in study["revisions"]]
