"""Uploads and cleanups that are interrupted between two steps leave rows and objects consistent.

A kill is simulated by an exception that nothing catches; the next attempt sees only rows and objects.
"""

import io
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.stub import Stubber
from django.core.files.storage import storages
from django.db import connection
from django.db.models import ProtectedError
from django.db.models.functions import Now
from django.utils import timezone

from apps.runs.models import Payload
from apps.runs.payloads import expiry, storage
from apps.runs.payloads.expiry import delete_expired_payloads, expiry_lag, set_expiry
from apps.runs.payloads.object_store import close_connections, delete_objects, list_objects, s3_client
from apps.runs.payloads.reading import PayloadGone, open_payload
from apps.runs.payloads.reconciliation import Reconciliation, reconcile_payloads
from apps.runs.payloads.storage import PayloadNotStored, store_payload
from tests.factories import make_payload, make_run

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(hours=24)


class Killed(BaseException):
    """Simulates SIGKILL: no code after it runs."""


def killed(*args, **kwargs):
    raise Killed


@pytest.fixture(params=["files", "s3"])
def store(request, settings, tmp_path):
    if request.param == "s3":
        request.getfixturevalue("s3_payloads")
    else:
        store = settings.STORAGES["payloads"] | {"OPTIONS": {"location": tmp_path / "store"}}
        settings.STORAGES = settings.STORAGES | {"payloads": store}
    return storages["payloads"]


def store_bytes(run):
    return store_payload(
        run, kind="pull", name="a", content_type="text/plain", stream=io.BytesIO(b"abc"), sequence=1
    )


def expire_all_leases():
    Payload.objects.filter(status="deleting").update(next_delete_at=Now())


def assert_rows_and_objects_agree():
    listed = {entry.key for entry in list_objects()}
    assert listed == set(Payload.objects.filter(status="stored").values_list("key", flat=True))
    assert not Payload.objects.filter(status__in=["pending", "deleting"]).exists()
    assert reconcile_payloads(timezone.now() + timedelta(hours=2)) == Reconciliation()


@pytest.mark.parametrize("step", ["encode", "object_size", "_confirm_upload"])
def test_killed_upload_leaves_rows_and_objects_consistent(store, monkeypatch, step):
    run = make_run(status="running")
    store_bytes(run)
    monkeypatch.setattr(storage, step, killed)
    with pytest.raises(Killed):
        store_bytes(run)
    monkeypatch.undo()

    run.finish(run.lease_token, "lost")
    set_expiry(run, DAY)
    delete_expired_payloads()

    assert Counter(Payload.objects.values_list("status", flat=True)) == {"stored": 1, "lost": 1}
    assert_rows_and_objects_agree()


def test_upload_with_lost_response_leaves_no_object(store, monkeypatch):
    def lose_response(key):
        assert store.exists(key)
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(storage, "object_size", lose_response)

    with pytest.raises(PayloadNotStored):
        store_bytes(make_run(status="running"))

    assert_rows_and_objects_agree()


@pytest.mark.parametrize("step", ["delete_objects", "_record_deleted", "_record_failed"])
def test_killed_cleanup_resumes_and_expired_payloads_stay_unreadable(store, monkeypatch, step):
    payloads = [make_payload(expires_at=timezone.now()) for _ in range(3)]
    unexpired = make_payload()
    monkeypatch.setattr(expiry, step, killed)
    with pytest.raises(Killed):
        delete_expired_payloads()
    monkeypatch.undo()

    for payload in payloads:
        with pytest.raises(PayloadGone):
            open_payload(payload)
    expire_all_leases()
    delete_expired_payloads()

    assert Counter(Payload.objects.values_list("status", flat=True)) == {"deleted": 3, "stored": 1}
    open_payload(unexpired).close()
    assert_rows_and_objects_agree()


def stub_responses(responses):
    """Makes the store's client return these responses first: error codes or DeleteObjects results."""
    client = s3_client(storages["payloads"])
    stubber = Stubber(client)
    for response in responses:
        if isinstance(response, str):
            stubber.add_client_error("delete_objects", response, http_status_code=501)
        else:
            stubber.add_response("delete_objects", response)
    return stubber


def test_deletion_is_retried_after_s3_error(s3_payloads):
    make_payload(expires_at=timezone.now())

    with stub_responses(["InternalError"]):
        assert vars(delete_expired_payloads()) == {"deleted": 0, "failed": 1}
    assert Payload.objects.get().delete_error == "InternalError"
    assert vars(delete_expired_payloads()) == {"deleted": 0, "failed": 0}
    expire_all_leases()

    assert delete_expired_payloads().deleted == 1
    assert_rows_and_objects_agree()


def test_deletion_is_retried_only_for_the_failed_key(s3_payloads):
    refused, other = make_payload(expires_at=timezone.now()), make_payload(expires_at=timezone.now())
    delete_objects([other.key])

    with stub_responses([{"Errors": [{"Key": refused.key, "Code": "AccessDenied", "Message": ""}]}]):
        assert vars(delete_expired_payloads()) == {"deleted": 1, "failed": 1}
    refused.refresh_from_db()
    assert (refused.status, refused.delete_error) == ("deleting", "AccessDenied")
    expire_all_leases()

    assert delete_expired_payloads().deleted == 1
    assert_rows_and_objects_agree()


@pytest.mark.parametrize("code", ["NotImplemented", "MalformedXML"])
def test_deletion_falls_back_to_single_requests(s3_payloads, monkeypatch, code):
    keys = [make_payload().key for _ in range(3)]
    client = s3_client(storages["payloads"])
    refusal = client.exceptions.ClientError({"Error": {"Code": code}}, "DeleteObjects")

    def refuse(**_request):
        raise refusal

    monkeypatch.setattr(client, "delete_objects", refuse)

    assert delete_objects([*keys, "payloads/does/not-exist"]) == {}
    assert not list(list_objects())


def test_threads_share_one_client(s3_payloads):
    client = s3_client(storages["payloads"])

    with ThreadPoolExecutor(1) as pool:
        client_of_thread = pool.submit(s3_client, storages["payloads"]).result()

    assert client_of_thread is client


def test_closed_s3_connections_are_reopened(s3_payloads):
    run = make_run(store_pull=True)
    before = open_sockets()
    payload = make_payload(run)
    opened = open_sockets() - before
    assert opened

    close_connections()

    assert not opened & open_sockets()
    open_payload(payload).close()


def open_sockets():
    """Returns the open sockets of this process."""
    links = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            links.add(entry.readlink())
    return {link for link in links if str(link).startswith("socket:")}


# SQLite has one writer at a time.
@pytest.mark.postgresql
def test_parallel_workers_delete_each_object_once(store, monkeypatch):
    for _ in range(60):
        make_payload(expires_at=timezone.now())
    requested = []
    monkeypatch.setattr(expiry, "MAX_KEYS", 7)
    monkeypatch.setattr(expiry, "delete_objects", lambda keys: requested.extend(keys) or delete_objects(keys))
    totals = []

    def work():
        try:
            totals.append(delete_expired_payloads().deleted)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(totals) == 60
    assert Counter(requested) == Counter(Payload.objects.values_list("key", flat=True))
    assert_rows_and_objects_agree()


@pytest.mark.parametrize(("seconds", "is_there"), [(1, True), (-1, False), (0, False)])
def test_payload_is_readable_for_exactly_24_hours(store, seconds, is_there):
    run = make_run(status="running")
    payload = store_bytes(run)
    run.finish(run.lease_token, "succeeded")
    set_expiry(run, DAY)
    # Moving the expiry simulates the time since the end of the run: 24 hours minus or plus these seconds.
    Payload.objects.update(expires_at=Now() + timedelta(seconds=seconds))

    if is_there:
        open_payload(payload).close()
    else:
        with pytest.raises(PayloadGone):
            open_payload(payload)

    assert delete_expired_payloads().deleted == (0 if is_there else 1)
    assert store.exists(payload.key) is is_there


def test_expiry_lag_is_the_age_of_the_oldest_expired_object(db):
    assert expiry_lag() == timedelta()
    make_payload(body=None)
    make_payload(body=None, status="deleted", deleted_at=timezone.now(), expires_at=timezone.now() - DAY)
    assert expiry_lag() == timedelta()

    make_payload(body=None, expires_at=timezone.now() - timedelta(minutes=5))
    make_payload(body=None, status="deleting", expires_at=timezone.now() - timedelta(minutes=20))

    assert timedelta(minutes=20) <= expiry_lag() < timedelta(minutes=21)


def test_cleanup_stops_at_its_time_limit(store, monkeypatch):
    make_payload(expires_at=timezone.now())

    assert delete_expired_payloads(max_seconds=0).deleted == 0
    assert delete_expired_payloads().deleted == 1


@pytest.mark.parametrize("status", ["pending", "stored", "deleting"])
def test_row_of_possibly_existing_object_cannot_be_deleted(db, status):
    payload = make_payload(body=None, status=status)
    run, service = payload.run, payload.run.service

    for delete in (
        payload.delete,
        Payload.objects.all().delete,
        Payload.objects.filter(pk=payload.pk).delete,
        run.payloads.all().delete,
        run.delete,
        type(run).objects.all().delete,
        service.delete,
        type(service).objects.all().delete,
    ):
        with pytest.raises(ProtectedError):
            delete()

    assert Payload.objects.filter(pk=payload.pk).exists()


@pytest.mark.parametrize("status", ["deleted", "lost"])
def test_row_of_deleted_or_lost_object_can_be_deleted(db, status):
    payloads = [make_payload(body=None, status=status, deleted_at=timezone.now()) for _ in range(2)]

    payloads[0].delete()
    Payload.objects.filter(pk=payloads[1].pk).delete()

    assert not Payload.objects.exists()
