"""An S3-compatible store: moto's server, and a bucket in it as another client sees it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]

from router.delivery.destinations.publication import read_manifest
from tests.e2e.stack import free_port, wait_until
from tests.net.certificates import Identity
from tests.peers import listens, process

_buckets = count(1)


@dataclass
class Store:
    """A bucket as everybody sees it."""

    url: str
    authority: Path | None = None
    bucket: str = field(default_factory=lambda: f"bucket-{next(_buckets)}")

    @property
    def client(self) -> Any:
        """Another client than the router's."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="router",
            aws_secret_access_key="secret",
            verify=None if self.authority is None else str(self.authority),
        )

    def make(self) -> None:
        """Make the bucket."""
        self.client.create_bucket(Bucket=self.bucket)

    def uploads(self) -> int:
        """Uploads of parts that are neither completed nor aborted."""
        return len(self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []))

    def objects(self) -> dict[str, bytes]:
        """All objects."""
        client = self.client
        listed = client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {
            one["Key"]: client.get_object(Bucket=self.bucket, Key=one["Key"])["Body"].read()
            for one in listed
        }

    def holds(self, study: str) -> bool:
        """Whether the manifest of a study, if there is one, says what is there."""
        objects = self.objects()
        said = objects.pop(f"{study}/_SUCCESS", None)
        there = {
            key.removeprefix(f"{study}/"): hashlib.sha256(content).hexdigest()
            for key, content in objects.items()
        }
        return said is None or read_manifest(said.decode()) == there


@contextmanager
def object_store(folder: Path, identity: Identity | None = None) -> Iterator[str]:
    """A store without buckets; its URL. With an ``identity`` over TLS."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    if identity is not None:
        command += ["-c", str(identity.certificate), "-k", str(identity.key)]
    with process(command, folder / "moto.log"):
        wait_until(lambda: listens(port), "moto's server listens")
        yield f"{'http' if identity is None else 'https'}://127.0.0.1:{port}"
