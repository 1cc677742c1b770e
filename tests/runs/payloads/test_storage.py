"""Storing, reading, expiry and deletion of payloads."""

import hashlib
import io
from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.db.models.functions import Now

from apps.runs.models import Payload, Run
from apps.runs.payloads import expiry
from apps.runs.payloads.expiry import delete_expired_payloads, set_expiry
from apps.runs.payloads.reading import PayloadGone, open_payload
from apps.runs.payloads.storage import PayloadNotStored, store_payload
from tests.factories import make_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["files", "s3"])
def store(request, settings, tmp_path):
    """The payload store: a folder or a bucket of a real S3 server."""
    if request.param == "s3":
        request.getfixturevalue("s3_payloads")
    else:
        settings.STORAGES = settings.STORAGES | {
            "payloads": {
                "BACKEND": "django.core.files.storage.FileSystemStorage",
                "OPTIONS": {"location": tmp_path / "payloads"},
            }
        }
    return storages["payloads"]


def store_bytes(run, data=b"[1, 2]", name="pull-page-00001.json", sequence=3):
    return store_payload(
        run,
        kind="pull",
        name=name,
        content_type="application/json",
        stream=io.BytesIO(data),
        sequence=sequence,
    )


def expire(run, **when):
    set_expiry(run, timedelta(hours=24))
    Payload.objects.filter(run=run).update(expires_at=Now() + timedelta(**when))


@pytest.mark.parametrize("size", [0, 6, 3 * 1024 * 1024, 20 * 1024 * 1024])
def test_stored_payload_is_read_back_unchanged(run, store, size):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]

    payload = store_bytes(run, data)

    payload.refresh_from_db()
    assert payload.service_id == run.service_id
    assert (payload.status, payload.size, payload.sha256, payload.sequence, payload.expires_at) == (
        "stored",
        size,
        hashlib.sha256(data).hexdigest(),
        3,
        None,
    )
    with open_payload(payload) as stream:
        assert stream.read() == data


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "%2e%2e%2f", 'a"b\r\nc', "名" * 255])
def test_payload_name_is_never_part_of_the_object_key(run, store, name):
    payload = store_bytes(run, name=name)

    assert payload.name == name
    assert payload.key.startswith("payloads/")
    assert payload.key.split("/")[-2] == str(run.pk)
    assert store.exists(payload.key)


def test_expiry_counts_from_the_end_of_the_run(run, store):
    payload = store_bytes(run)
    token = run.claim("worker")
    run.finish(token, Run.Status.SUCCEEDED)
    set_expiry(run, timedelta(hours=24))

    payload.refresh_from_db()
    run.refresh_from_db()
    assert abs(payload.expires_at - run.finished_at - timedelta(hours=24)) < timedelta(seconds=2)


def test_expired_payload_cannot_be_read_before_its_deletion(run, store):
    payload = store_bytes(run)
    expire(run, seconds=-1)

    with pytest.raises(PayloadGone):
        open_payload(payload)

    assert store.exists(payload.key)


def test_cleanup_deletes_only_expired_payloads(run, store):
    expired = [store_bytes(run) for _ in range(3)]
    expire(run, seconds=-1)
    fresh = store_bytes(run)

    deletion = delete_expired_payloads()

    assert (deletion.deleted, deletion.failed) == (3, 0)
    assert [store.exists(payload.key) for payload in (*expired, fresh)] == [False, False, False, True]
    assert sorted(Payload.objects.values_list("status", flat=True)) == ["deleted"] * 3 + ["stored"]
    assert Payload.objects.filter(status="deleted", deleted_at=None).count() == 0
    assert delete_expired_payloads().deleted == 0


def test_cleanup_deletes_in_batches(run, store, monkeypatch):
    monkeypatch.setattr(expiry, "MAX_KEYS", 2)
    for _ in range(5):
        store_bytes(run)
    expire(run, seconds=-1)

    assert delete_expired_payloads().deleted == 5


def test_missing_object_counts_as_deleted(run, store):
    payload = store_bytes(run)
    expire(run, seconds=-1)
    store.delete(payload.key)

    assert delete_expired_payloads().deleted == 1


def test_failed_deletion_is_recorded_and_retried(run, store, monkeypatch):
    payload, other = store_bytes(run), store_bytes(run)
    expire(run, seconds=-1)
    delete_objects = expiry.delete_objects
    monkeypatch.setattr(
        expiry,
        "delete_objects",
        lambda keys: (
            delete_objects([key for key in keys if key != payload.key]) | {payload.key: "InternalError"}
        ),
    )

    deletion = delete_expired_payloads()

    payload.refresh_from_db()
    assert (deletion.deleted, deletion.failed) == (1, 1)
    assert (payload.status, payload.delete_attempts, payload.delete_error) == ("deleting", 1, "InternalError")
    with pytest.raises(PayloadGone):
        open_payload(payload)
    assert delete_expired_payloads().failed == 0, "the next attempt is not due"
    Payload.objects.filter(pk=payload.pk).update(next_delete_at=Now() - timedelta(seconds=1))
    monkeypatch.undo()
    assert delete_expired_payloads().deleted == 1
    payload.refresh_from_db()
    assert (payload.status, payload.delete_attempts, payload.delete_error) == ("deleted", 2, "")
    assert not store.exists(other.key)


def test_unreachable_store_is_reported_without_its_address(run, s3_payloads, settings):
    options = settings.STORAGES["payloads"]["OPTIONS"] | {"endpoint_url": "http://127.0.0.1:9"}
    settings.STORAGES = settings.STORAGES | {
        "payloads": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    }

    with pytest.raises(PayloadNotStored, match="the payload store failed") as caught:
        store_bytes(run)

    assert "127.0.0.1" not in str(caught.value)
    [payload] = Payload.objects.with_state()
    # The store may hold the object, so the cleanup has to delete it.
    assert (payload.status, payload.state) == ("deleting", "lost")
    assert list(Payload.objects.expired()) == [payload]


def test_failing_folder_is_reported(run, settings, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    settings.STORAGES = settings.STORAGES | {
        "payloads": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "file"},
        }
    }

    with pytest.raises(PayloadNotStored, match="the payload store failed"):
        store_bytes(run)


def test_reading_payload_without_object_marks_it_lost(store):
    payload = store_bytes(make_run(store_pull=True))
    store.delete(payload.key)

    with pytest.raises(PayloadGone, match="missing from the payload store"):
        open_payload(payload)

    payload.refresh_from_db()
    assert payload.status == Payload.Status.LOST
