"""Download of a large payload: speed and memory."""

import hashlib
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, storages

from apps.runs.models import Payload
from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.benchmarks.web import Connection, Web, request_bytes, token_headers
from tests.memory import peak_mib, resident_mib

MIB = 1024 * 1024
GIB = 1024 * MIB
# The kernel sends a file in 0.13 s to 0.44 s, depending on the cores of client and server: many rounds even this out.
FILE_ROUNDS = 61
S3_ROUNDS = 5
# The block size of boto3.
BLOCK_BYTES = 256 * 1024


@benchmark("download_file_mb_per_s", "MB/s", databases=["sqlite"])
def download_file() -> Figure:
    """A payload of 1 GiB in a file, against a bare FileResponse of the same file."""
    payload, secret = _stored(GIB)
    path = storages["payloads"].path(payload.key)
    with Web(workers=1, environment={"BENCHMARK_FILE": path}) as web:
        ours, bare = _request(payload, secret), request_bytes("/bare/file/", {})
        return compare(
            partial(_download, web.port, ours), partial(_download, web.port, bare), rounds=FILE_ROUNDS
        )


@benchmark("download_s3_mb_per_s", "MB/s", databases=["postgresql"], with_s3=["postgresql"])
def download_from_s3() -> Figure:
    """A payload of 1 GiB in S3, against boto3 reading the same object in this process.

    With one worker, so that the first round, which is not counted, creates its S3 client.
    """
    payload, secret = _stored(GIB)
    with Web(workers=1) as web:
        ours = partial(_download, web.port, _request(payload, secret))
        return compare(ours, partial(_read_object, payload.key), rounds=S3_ROUNDS)


@benchmark("download_memory_mib", "MiB", with_s3=["postgresql"])
def download_memory() -> Figure:
    """Growth of gunicorn's worker while it sends 1 GiB, on SQLite from a file, on PostgreSQL from S3.

    The worker has sent a small payload before.
    """
    payload, secret = _stored(GIB)
    small = factories.make_payload(body=b"x" * MIB)
    with Web(workers=1) as web:
        for _round in range(3):
            _download(web.port, _request(small, secret))
        [worker] = web.worker_pids()
        before = resident_mib(worker)
        with peak_mib(worker) as peak:
            _download(web.port, _request(payload, secret))
    print(f"The worker had {before:.1f} MiB before, and {peak[0]:.1f} MiB at most", file=sys.stderr)
    return Figure(max(peak[0] - before, 0))


def _stored(size: int) -> tuple[Payload, str]:
    """A payload of `size` incompressible bytes, and a token that may download it."""
    source = settings.DATA_DIR / "large"
    block = hashlib.shake_256(b"").digest(MIB)
    with source.open("wb") as file:
        for _block in range(size // MIB):
            file.write(block)
    with source.open("rb") as file:
        payload = factories.make_payload(
            body=None,
            name="large.bin",
            content_type="application/octet-stream",
            size=size,
            sha256=hashlib.file_digest(file, "sha256").hexdigest(),
        )
    store = storages["payloads"]
    if isinstance(store, FileSystemStorage):
        path = Path(store.path(payload.key))
        path.parent.mkdir(parents=True)
        source.rename(path)
    else:
        with source.open("rb") as file:
            store.save(payload.key, File(file))
        source.unlink()
    return payload, factories.make_token()[1]


def _request(payload: Payload, secret: str) -> bytes:
    return request_bytes(f"/api/v1/payloads/{payload.pk}/download/", token_headers(secret))


def _download(port: int, request: bytes) -> float:
    """Megabytes per second."""
    with closing(Connection(port)) as connection:
        before = time.perf_counter()
        received = connection.download(request)
        return received / (time.perf_counter() - before) / 1e6


def _read_object(key: str) -> float:
    client = storages["payloads"].connection.meta.client
    before = time.perf_counter()
    body = client.get_object(Bucket=settings.STORAGES["payloads"]["OPTIONS"]["bucket_name"], Key=key)["Body"]
    received = sum(len(block) for block in body.iter_chunks(BLOCK_BYTES))
    return received / (time.perf_counter() - before) / 1e6
