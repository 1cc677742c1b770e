"""Access log of downloads, downloads of compressed payloads, and redirects to presigned URLs."""

import io
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from botocore.exceptions import BotoCoreError
from django.core.files.storage import storages
from django.db.models.functions import Now
from django.urls import reverse

from apps.api.models import ApiToken
from apps.runs.models import Payload, PayloadRead
from apps.runs.payloads.audit import record_read
from apps.runs.payloads.reading import open_payload
from apps.runs.payloads.storage import store_payload
from tests.api.conftest import body_of
from tests.factories import make_payload, make_run, make_user
from tests.faults.proxy import proxy

pytestmark = pytest.mark.django_db
BODY = bytes(range(256)) * 4
ORDERS = b"".join(b'{"id": %d, "item": "chair"}\n' % number for number in range(20_000))


@pytest.fixture(params=["files", "s3"])
def store(request):
    if request.param == "s3":
        request.getfixturevalue("s3_payloads")
    return storages["payloads"]


def compressed():
    run = make_run()
    payload = store_payload(
        run, kind="pull", name="a.json", content_type="text/x", stream=io.BytesIO(ORDERS), sequence=1
    )
    assert payload.encoding == "zstd"
    return payload


def path_of(payload):
    return f"/api/v1/payloads/{payload.pk}/download/"


def test_read_is_recorded_before_the_first_byte_and_after_the_last(client, store):
    payload = make_payload(body=BODY)

    response = client.get(path_of(payload))

    [read] = PayloadRead.objects.all()
    token = ApiToken.objects.get()
    assert (read.payload, read.user, read.token, read.address) == (
        payload,
        token.user,
        str(token),
        "127.0.0.1",
    )
    assert (read.outcome, read.byte_count) == ("started", 0)
    body_of(response)
    read.refresh_from_db()
    assert (read.outcome, read.byte_count) == ("complete", 1024)


@pytest.mark.parametrize(("header", "count"), [("bytes=10-19", 10), ("bytes=-24", 24), ("bytes=1000-", 24)])
def test_read_of_a_range_is_recorded_with_its_bytes(client, store, header, count):
    response = client.get(path_of(make_payload(body=BODY)), headers={"Range": header})
    body_of(response)

    [read] = PayloadRead.objects.all()
    assert (read.outcome, read.byte_count) == ("complete", count)


def test_aborted_read_is_recorded_as_broken(store):
    payload = make_payload(body=BODY)

    stream = record_read(payload, open_payload(payload), user=make_user(), address="unix:")
    stream.read(10)
    stream.close()
    stream.close()

    [read] = PayloadRead.objects.all()
    assert (read.outcome, read.byte_count, read.token, read.address) == ("broken", 10, "", None)


def test_download_aborted_by_the_store_raises_and_is_recorded_as_broken(
    client, s3_server, s3_payloads, settings
):
    payload = make_payload(body=bytes(32 * 1024 * 1024))
    options = settings.STORAGES["payloads"]["OPTIONS"]
    with proxy(s3_server.ports["s3"][0]) as between:
        store = settings.STORAGES["payloads"] | {"OPTIONS": options | {"endpoint_url": between.url}}
        settings.STORAGES = settings.STORAGES | {"payloads": store}
        response = client.get(path_of(payload))
        blocks = iter(response)
        next(blocks)

        between.switch("down")

        with pytest.raises(BotoCoreError):
            list(blocks)
    [read] = PayloadRead.objects.all()
    assert read.outcome == "broken"
    assert 0 < read.byte_count < payload.size


@pytest.mark.parametrize(
    "headers", [{"If-None-Match": "*"}, {"If-Match": '"x"'}, {"Range": "bytes=5000-"}, {"Authorization": ""}]
)
def test_response_without_payload_bytes_is_not_recorded(client, headers):
    client.get(path_of(make_payload(body=BODY)), headers=headers)

    assert not PayloadRead.objects.exists()


def test_head_request_is_not_recorded(client):
    client.head(path_of(make_payload(body=BODY)))

    assert not PayloadRead.objects.exists()


def test_compressed_payload_is_decompressed(client, store):
    payload = compressed()

    response = client.get(path_of(payload))

    assert body_of(response) == ORDERS
    assert response["Content-Length"] == str(len(ORDERS))
    assert response["ETag"] == f'"{payload.sha256}"'
    assert not response.has_header("Content-Encoding")


@pytest.mark.parametrize(("first", "last"), [(0, 0), (300_000, 300_099), (len(ORDERS) - 5, len(ORDERS) - 1)])
def test_range_of_a_compressed_payload_counts_original_bytes(client, store, first, last):
    response = client.get(path_of(compressed()), headers={"Range": f"bytes={first}-{last}"})

    assert response.status_code == 206
    assert body_of(response) == ORDERS[first : last + 1]
    assert response["Content-Range"] == f"bytes {first}-{last}/{len(ORDERS)}"


def test_redirect_is_a_presigned_url_for_at_most_a_minute(client, s3_payloads, settings):
    settings.PAYLOAD_DOWNLOAD = "redirect"
    payload = make_payload(body=BODY, name="Größe.csv")

    response = client.get(path_of(payload))

    assert (response.status_code, response["Cache-Control"]) == (302, "private, no-store")
    fetched = requests.get(response["Location"], headers={"Range": "bytes=10-19"}, timeout=10)
    assert (fetched.status_code, fetched.content) == (206, BODY[10:20])
    assert fetched.headers["Content-Disposition"] == "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.csv"
    assert 0 < int(parse_qs(urlsplit(response["Location"]).query)["X-Amz-Expires"][0]) <= 60
    [read] = PayloadRead.objects.all()
    assert (read.outcome, read.token) == ("started", str(ApiToken.objects.get()))


def test_redirect_does_not_outlive_the_payload(client, s3_payloads, settings):
    settings.PAYLOAD_DOWNLOAD = "redirect"
    payload = make_payload(body=BODY)

    def expiring_in(seconds):
        Payload.objects.update(expires_at=Now() + timedelta(seconds=seconds))
        return client.get(path_of(payload))

    soon = expiring_in(20)
    assert int(parse_qs(urlsplit(soon["Location"]).query)["X-Amz-Expires"][0]) in (18, 19)
    # Too short for a presigned URL, so it is streamed.
    assert body_of(expiring_in(1)) == BODY
    assert expiring_in(-1).status_code == 410


def test_compressed_payload_is_not_redirected(client, store, settings):
    settings.PAYLOAD_DOWNLOAD = "redirect"

    assert body_of(client.get(path_of(compressed()))) == ORDERS
    missing = make_payload(body=BODY)
    store.delete(missing.key)
    assert client.get(path_of(missing)).status_code == 410
    assert client.head(path_of(make_payload(body=BODY))).status_code == 200


def test_payload_in_a_folder_is_streamed_although_redirects_are_configured(client, settings):
    settings.PAYLOAD_DOWNLOAD = "redirect"

    assert body_of(client.get(path_of(make_payload(body=BODY)))) == BODY


def test_download_in_the_console_is_recorded(client, store):
    user = make_user(permissions=["services.view_service", "runs.view_run", "runs.download_payload"])
    client.force_login(user)
    payload = make_payload(body=BODY)

    response = client.get(reverse("admin:runs_run_payload", args=[payload.run_id, payload.pk]))
    body = body_of(response)

    [read] = PayloadRead.objects.all()
    assert (body, read.user, read.token, read.outcome, read.byte_count) == (BODY, user, "", "complete", 1024)


def test_compressed_payload_is_decompressed_in_the_console(client, store):
    client.force_login(make_user(is_superuser=True))
    payload = compressed()

    response = client.get(reverse("admin:runs_run_payload", args=[payload.run_id, payload.pk]))

    assert body_of(response) == ORDERS
    assert response["Content-Length"] == str(len(ORDERS))
