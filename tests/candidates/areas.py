"""Storage areas, and a bucket to have one in."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]

from candidates.writer.address import S3Address
from candidates.writer.area import StorageArea
from candidates.writer.reading import stored_pieces
from tests.e2e.stack import free_port, wait_until
from tests.peers import process

PREFIX = "hospital/xray"
_NUMBERS = count(1)


def read_whole(area: StorageArea, uuid: str) -> bytes:
    """What is stored of an attachment."""
    with closing(area.open(uuid)) as blob:
        return b"".join(map(bytes, stored_pieces(blob)))


class S3Server:
    """An S3-compatible server, moto's, which forgets everything when it ends."""

    def __init__(self, log: Path):
        self.port = free_port()
        self._log = log
        self._running = ExitStack()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """What a writer is told by its environment."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "writer",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._running.enter_context(process(command, self._log))
        wait_until(self._answers, "moto's server answers")

    def stop(self) -> None:
        """End it."""
        self._running.close()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


@contextmanager
def s3_server(log: Path) -> Iterator[S3Server]:
    """A server as long as the block runs."""
    server = S3Server(log)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Bucket:
    """A bucket as everybody sees it; a writer has a part of it."""

    server: S3Server
    name: str = field(default_factory=lambda: f"bucket-{next(_NUMBERS)}")

    @property
    def address(self) -> S3Address:
        """What the writer is told."""
        return S3Address(self.name, PREFIX)

    @property
    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.server.url,
            region_name="us-east-1",
            aws_access_key_id="somebody",
            aws_secret_access_key="else",
        )

    def make(self) -> None:
        """Make the bucket."""
        self._client.create_bucket(Bucket=self.name)

    def keys(self) -> list[str]:
        """Of all objects of the writer's part, but for its name."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = (one["Key"] for page in pages for one in page.get("Contents", []))
        return sorted(key for key in keys if not key.endswith("/.area"))

    def uploads(self) -> int:
        """Uploads of parts that are neither completed nor aborted."""
        return len(self._client.list_multipart_uploads(Bucket=self.name).get("Uploads", []))

    def get(self, key: str) -> bytes:
        """An object."""
        content: bytes = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def put(self, key: str, content: bytes) -> None:
        """Make or change an object."""
        self._client.put_object(Bucket=self.name, Key=key, Body=content)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._client.delete_object(Bucket=self.name, Key=key)
