"""Download of payloads: headers, ranges, conditional requests, expiry."""

import base64
import hashlib
import tracemalloc
from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.db.models.functions import Now
from django.utils import timezone

from apps.api.http.file_names import download_name, media_type
from apps.runs.models import Payload, Run
from tests.api.conftest import body_of
from tests.factories import make_payload, make_run

pytestmark = pytest.mark.django_db

BODY = bytes(range(256)) * 4


@pytest.fixture(params=["files", "s3"])
def payload(request, db):
    """A payload of 1,024 bytes, in files and in S3."""
    if request.param == "s3":
        request.getfixturevalue("s3_payloads")
    return make_payload(make_run(store_pull=True), BODY)


def path_of(payload):
    return f"/api/v1/payloads/{payload.pk}/download/"


def test_download_has_the_stored_bytes_and_safe_headers(client, payload):
    response = client.get(path_of(payload))

    assert response.status_code == 200
    assert body_of(response) == BODY
    digest = hashlib.sha256(BODY)
    assert {name: response[name] for name in response.headers} == {
        "Content-Type": "application/json",
        "Content-Length": "1024",
        "Content-Disposition": 'attachment; filename="page-1.json"',
        "Accept-Ranges": "bytes",
        "ETag": f'"{digest.hexdigest()}"',
        "Digest": f"sha-256={base64.b64encode(digest.digest()).decode()}",
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
        "Cache-Control": "private, no-store",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    } | {
        name: response[name]
        for name in (
            "Allow",
            "Vary",
            "Content-Language",
            "X-Frame-Options",
            "Referrer-Policy",
            "Cross-Origin-Opener-Policy",
        )
        if name in response.headers
    }


def test_download_is_streamed(client, payload):
    response = client.get(path_of(payload))

    assert response.streaming
    body_of(response)


@pytest.mark.parametrize("store", ["files", "s3"])
@pytest.mark.parametrize("header", [{}, {"Range": "bytes=1-"}])
def test_download_is_not_loaded_into_memory(client, request, store, header):
    if store == "s3":
        request.getfixturevalue("s3_payloads")
    payload = make_payload(body=bytes(32 * 1024 * 1024))

    tracemalloc.start()
    response = client.get(path_of(payload), headers=header)
    received = sum(len(block) for block in response)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert received == payload.size - len(header)
    assert peak < 8 * 1024 * 1024


def test_head_has_the_headers_of_get(client, payload):
    whole = client.get(path_of(payload))
    body_of(whole)

    head = client.head(path_of(payload), headers={"Range": "bytes=0-9"})

    assert (head.status_code, body_of(head)) == (200, b"")
    assert dict(head.items()) == dict(whole.items())


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=1000-", 1000, 1023),
        ("bytes=1000-99999999999999999999999", 1000, 1023),
        ("bytes=-24", 1000, 1023),
        ("bytes=-99999", 0, 1023),
        ("bytes=0-", 0, 1023),
    ],
)
def test_range_is_206_with_the_requested_bytes(client, payload, header, first, last):
    response = client.get(path_of(payload), headers={"Range": header})

    assert response.status_code == 206
    assert body_of(response) == BODY[first : last + 1]
    assert response["Content-Range"] == f"bytes {first}-{last}/1024"
    assert response["Content-Length"] == str(last - first + 1)
    assert response["ETag"] == f'"{payload.sha256}"'


@pytest.mark.parametrize(
    "header", ["bytes=1024-", "bytes=99999999999999999999-", "bytes=-0", "bytes=1024-1025"]
)
def test_range_beyond_the_end_is_416(client, payload, header):
    response = client.get(path_of(payload), headers={"Range": header})

    assert response.status_code == 416
    assert response["Content-Range"] == "bytes */1024"
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,5-6",
        "bytes=9-3",
        "bytes=a-b",
        "bytes",
        "lines=1-2",
        "bytes=-",
        "bytes=١-٢",
        "bytes=" + "1" * 200,
    ],
)
def test_invalid_range_gets_the_whole_file(client, header):
    response = client.get(path_of(make_payload(body=BODY)), headers={"Range": header})

    assert response.status_code == 200
    assert body_of(response) == BODY


def test_range_applies_only_if_if_range_matches(client):
    payload = make_payload(body=BODY)

    def status(condition):
        response = client.get(path_of(payload), headers={"Range": "bytes=0-9", "If-Range": condition})
        body_of(response)
        return response.status_code

    assert status(f'"{payload.sha256}"') == 206
    assert status('"another"') == 200
    assert status(f'W/"{payload.sha256}"') == 200
    assert status("Mon, 23 Nov 2026 07:15:09 GMT") == 200


def test_empty_payload_has_no_range(client):
    payload = make_payload(body=b"")

    whole = client.get(path_of(payload))

    assert (whole.status_code, whole["Content-Length"], body_of(whole)) == (200, "0", b"")
    assert client.get(path_of(payload), headers={"Range": "bytes=0-"}).status_code == 416


@pytest.mark.parametrize("condition", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
def test_matching_if_none_match_is_304(client, condition):
    payload = make_payload(body=BODY)

    response = client.get(path_of(payload), headers={"If-None-Match": condition.format(payload.sha256)})

    assert (response.status_code, body_of(response)) == (304, b"")
    assert response["ETag"] == f'"{payload.sha256}"'
    assert response["Cache-Control"] == "private, no-store"


def test_other_if_none_match_is_200(client):
    response = client.get(path_of(make_payload(body=BODY)), headers={"If-None-Match": '"other"'})

    assert (response.status_code, body_of(response)) == (200, BODY)


def test_other_if_match_is_412(client):
    response = client.get(path_of(make_payload()), headers={"If-Match": '"other"'})

    assert response.status_code == 412
    assert response["Content-Type"] == "application/problem+json"


def test_payload_of_a_running_run_can_be_downloaded(client):
    payload = make_payload(make_run(status=Run.Status.RUNNING, store_pull=True), BODY)

    assert payload.expires_at is None
    assert body_of(client.get(path_of(payload))) == BODY


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize(
    "headers",
    [{}, {"Range": "bytes=0-9"}, {"Range": "bytes=5000-"}, {"If-None-Match": "*"}, {"If-Match": '"x"'}],
)
def test_expired_payload_is_410_although_the_object_exists(client, method, headers):
    payload = make_payload(body=BODY, expires_at=timezone.now())

    response = getattr(client, method)(path_of(payload), headers=headers)

    assert storages["payloads"].exists(payload.key)
    assert response.status_code == 410
    assert response["Content-Type"] == "application/problem+json"


def test_expiry_follows_the_clock_of_the_database(client):
    payload = make_payload(body=BODY)
    now = Payload.objects.annotate(now=Now()).values_list("now", flat=True).get()
    Payload.objects.filter(pk=payload.pk).update(expires_at=now + timedelta(minutes=1))
    before = client.get(path_of(payload))
    body_of(before)
    Payload.objects.filter(pk=payload.pk).update(expires_at=now)

    after = client.get(path_of(payload))

    assert (before.status_code, after.status_code) == (200, 410)
    assert "expired" in after.json()["detail"]


@pytest.mark.parametrize("status", [Payload.Status.DELETING, Payload.Status.DELETED, Payload.Status.LOST])
def test_payload_that_is_not_stored_is_410(client, status):
    payload = make_payload(status=status, deleted_at=timezone.now())

    response = client.get(path_of(payload))

    assert response.status_code == 410
    assert response.json()["type"] == "urn:problem-type:synclog:payload-gone"


def test_payload_whose_object_is_missing_is_410(client, payload):
    storages["payloads"].delete(payload.key)

    assert client.get(path_of(payload)).status_code == 410
    assert client.head(path_of(payload)).status_code == 410


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("page-1.json", 'attachment; filename="page-1.json"'),
        ("../../etc/passwd", 'attachment; filename="passwd"'),
        ("..\\..\\boot.ini", 'attachment; filename="boot.ini"'),
        ("a\r\nSet-Cookie: b=c", 'attachment; filename="a__Set-Cookie: b=c"'),
        ('say "hi".txt', 'attachment; filename="say \\"hi\\".txt"'),
        ("Größe €.csv", "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe%20%E2%82%AC.csv"),
        ("\u202egnp.exe", 'attachment; filename="_gnp.exe"'),
        ("..", 'attachment; filename="payload"'),
        ("a/", 'attachment; filename="payload"'),
        (".htaccess", 'attachment; filename="htaccess"'),
        ("x" * 251 + ".csv", f'attachment; filename="{"x" * 196}.csv"'),
        ("ü" * 200, "attachment; filename*=utf-8''" + "%C3%BC" * 100),
    ],
)
def test_file_name_is_safe_for_the_header(client, name, header):
    response = client.get(path_of(make_payload(name=name)))
    body_of(response)

    assert response["Content-Disposition"] == header


@pytest.mark.parametrize(
    "name", ["", " . ", "\x00", "\ud800.txt", "." * 300, "." + "x" * 300, "a." + "é" * 300]
)
def test_download_name_is_short_and_not_empty(name):
    safe = download_name(name)

    assert 1 <= len(safe.encode()) <= 200
    assert "/" not in safe


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/csv; charset=utf-8", "text/csv; charset=utf-8"),
        ("application/vnd.api+json", "application/vnd.api+json"),
        ("", "application/octet-stream"),
        ("text/html\r\nX-Evil: 1", "application/octet-stream"),
        ("ümlaut/x", "application/octet-stream"),
    ],
)
def test_invalid_content_type_becomes_octet_stream(content_type, expected):
    assert media_type(content_type) == expected
