"""Payloads are compressed if that makes them smaller, and are read back unchanged."""

import gzip
import hashlib
import io
import os
import random
import tracemalloc

import pytest
from django.core.files.storage import storages

from apps.runs.models import Payload
from apps.runs.payloads import storage
from apps.runs.payloads.object_store import s3_client
from apps.runs.payloads.reading import open_payload
from apps.runs.payloads.storage import PayloadNotStored, store_payload
from config.payload_storage import multipart_config
from tests.factories import make_run

pytestmark = pytest.mark.django_db
ORDERS = b"".join(b'{"id": %d, "item": "chair", "quantity": 4}\n' % number for number in range(40_000))
NOISE = random.Random(7).randbytes(700_000)
BODIES = {
    "text": ORDERS,
    "noise": NOISE,
    "gzip": gzip.compress(NOISE.hex().encode()),
    "short": b"[1, 2]",
    "empty": b"",
}


@pytest.fixture(params=["files", "s3"])
def store(request):
    if request.param == "s3":
        request.getfixturevalue("s3_payloads")
    return storages["payloads"]


def store_bytes(data):
    stream = data if hasattr(data, "read") else io.BytesIO(data)
    return store_payload(
        make_run(status="running"),
        kind="pull",
        name="a.json",
        content_type="text/plain",
        stream=stream,
        sequence=1,
    )


@pytest.mark.parametrize(
    ("body", "encoding"), [("text", "zstd"), ("noise", ""), ("gzip", ""), ("short", ""), ("empty", "")]
)
def test_compressible_payload_is_stored_compressed_with_original_size(store, body, encoding):
    payload = store_bytes(BODIES[body])

    payload.refresh_from_db()
    assert (payload.encoding, payload.size, payload.sha256) == (
        encoding,
        len(BODIES[body]),
        hashlib.sha256(BODIES[body]).hexdigest(),
    )
    stored = store.size(payload.key)
    assert stored == len(BODIES[body]) if not encoding else stored < len(BODIES[body]) / 10
    with open_payload(payload) as stream:
        assert stream.read() == BODIES[body]


def test_compressed_payload_is_read_from_any_offset(store):
    payload = store_bytes(ORDERS)

    for first in (0, 1, 262_143, 262_144, 262_145, len(ORDERS) - 1, len(ORDERS)):
        with open_payload(payload, first=first) as stream:
            assert (first, stream.read(100)) == (first, ORDERS[first : first + 100])


class GeneratedStream:
    """A stream of this many bytes, generated on reading, at most a megabyte at a time."""

    def __init__(self, size, block):
        self._left = size
        self._block = block

    def read(self, size=-1):
        data = self._block(min(size, self._left, 1024 * 1024))
        self._left -= len(data)
        return data


# Several parts of an upload, and more than may be in memory.
SIZE = 24 * 1024 * 1024


@pytest.mark.parametrize(
    ("block", "encoding"), [(lambda size: os.urandom(size // 2).hex().encode(), "zstd"), (os.urandom, "")]
)
def test_upload_and_download_take_constant_memory(store, settings, block, encoding):
    # As in production.
    store.transfer_config = multipart_config(settings.MAX_PAYLOAD_BYTES)

    tracemalloc.start()
    payload = store_bytes(GeneratedStream(SIZE, block))
    with open_payload(payload) as stream:
        received = 0
        while block := stream.read(256 * 1024):
            received += len(block)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (payload.encoding, received) == (encoding, SIZE)
    assert store.size(payload.key) > 10 * 1024 * 1024
    assert peak < 16 * 1024 * 1024


def test_truncated_object_is_not_stored(store, monkeypatch):
    monkeypatch.setattr(storage, "object_size", lambda key: store.size(key) - 1)

    with pytest.raises(PayloadNotStored, match="has not received all of it"):
        store_bytes(ORDERS)

    [payload] = Payload.objects.all()
    assert payload.status == "lost"
    assert not store.exists(payload.key)


def test_interrupted_upload_leaves_no_object(store):
    class Broken:
        def __init__(self):
            self._reads = iter([NOISE, NOISE])

        def read(self, size=-1):
            try:
                return next(self._reads)
            except StopIteration:
                raise ConnectionResetError(104, "Connection reset by peer") from None

    with pytest.raises(PayloadNotStored, match="Connection reset by peer"):
        store_bytes(Broken())

    [payload] = Payload.objects.all()
    assert payload.status == "lost"
    assert not store.exists(payload.key)


def test_upload_that_ends_after_its_run_is_discarded(store, monkeypatch):
    def end_run(key):
        Payload.objects.update(status="deleting")
        return store.size(key)

    monkeypatch.setattr(storage, "object_size", end_run)

    with pytest.raises(PayloadNotStored, match="the run ended before"):
        store_bytes(ORDERS)

    [payload] = Payload.objects.with_state()
    assert (payload.status, payload.state) == ("deleting", "lost")
    assert not store.exists(payload.key)


@pytest.mark.parametrize("size", [1000, 11 * 1024 * 1024], ids=["whole", "in parts"])
def test_upload_requests_configured_encryption(s3_payloads, settings, size):
    transfer = multipart_config(settings.MAX_PAYLOAD_BYTES)
    options = settings.STORAGES["payloads"]["OPTIONS"] | {
        "object_parameters": {"ServerSideEncryption": "AES256"},
        "transfer_config": transfer,
    }
    settings.STORAGES = settings.STORAGES | {"payloads": settings.STORAGES["payloads"] | {"OPTIONS": options}}
    requested = {}

    def note(model, params, **_more):
        requested[model.name] = params["headers"].get("x-amz-server-side-encryption")

    s3_client(storages["payloads"]).meta.events.register("before-call.s3", note)

    payload = store_bytes(os.urandom(size))

    begins = "PutObject" if size < transfer.multipart_threshold else "CreateMultipartUpload"
    assert payload.size == size
    assert requested[begins] == "AES256"
