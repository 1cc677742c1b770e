"""Files of reported runs."""

import io

import pytest
from django.core.files.storage import storages

from apps.runs.models import Payload
from tests.api.conftest import body_of
from tests.api.reports.requests import line, post_lines, put_file

pytestmark = pytest.mark.django_db


def test_file_is_stored_at_its_line_and_can_be_downloaded(client, run):
    post_lines(client, run, [line(1)])

    response = put_file(client, run, **{"X-Log-Sequence": "1"})

    payload = Payload.objects.get()
    document = response.json()
    log = client.get(f"/api/v1/runs/{run.pk}/log/").json()
    assert response.status_code == 201
    assert document == client.get(f"/api/v1/payloads/{payload.pk}/").json()
    assert (document["kind"], document["name"], document["size"]) == ("pull", "page-1.json", 11)
    assert (document["content_type"], document["expires_at"]) == ("application/json", None)
    assert body_of(client.get(document["download_url"])) == b'[{"id": 1}]'
    assert [found["id"] for found in log["lines"][0]["payloads"]] == [str(payload.pk)]


def test_same_file_again_changes_nothing_and_other_bytes_are_409(client, run):
    first = put_file(client, run)
    again = put_file(client, run)
    other = put_file(client, run, body=b"other")
    other_kind = put_file(client, run, body=b"other", kind="push")

    assert [response.status_code for response in (first, again, other, other_kind)] == [201, 200, 409, 201]
    assert again.json() == first.json()
    assert first.json()["sha256"] in other.json()["detail"]
    assert Payload.objects.count() == 2


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "%2e%2e%2fx",
        "/etc/passwd",
        "a%00b",
        "a%0D%0Ab",
        "a%0Ab",
        "a\\b",
        "a‮b",
        "..",
        "%20",
        "x" * 300,
    ],
)
def test_invalid_file_name_is_400(client, run, name):
    response = put_file(client, run, name)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["name"]
    assert not Payload.objects.exists()


@pytest.mark.parametrize(
    "name", ["a\"b'c.json", "ünï.json", "%252e%252e%252f", "a;b&c=d.json", "<b>.html", "x" * 255, "%FF.bin"]
)
def test_unusual_file_name_is_stored_but_not_part_of_the_object_key(client, run, name):
    response = put_file(client, run, name)

    payload = Payload.objects.get()
    download = client.get(f"/api/v1/payloads/{payload.pk}/download/")
    assert response.status_code == 201
    assert payload.key.startswith("payloads/")
    assert payload.name not in payload.key
    assert storages["payloads"].exists(payload.key)
    assert download["Content-Disposition"].startswith("attachment")
    assert body_of(download) == b'[{"id": 1}]'


@pytest.mark.parametrize(
    ("kind", "headers", "field"),
    [
        ("log", {}, "kind"),
        ("pull", {"X-Log-Sequence": "0"}, "X-Log-Sequence"),
        ("pull", {"X-Log-Sequence": "last"}, "X-Log-Sequence"),
    ],
)
def test_invalid_kind_or_log_sequence_is_400(client, run, kind, headers, field):
    response = put_file(client, run, kind=kind, **headers)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]


def test_body_without_a_length_is_411(run, client):
    response = client.generic("PUT", f"/api/v1/runs/{run.pk}/payloads/pull/a", b"", CONTENT_LENGTH="")

    assert response.status_code == 411


def test_chunked_body_is_stored(client, run):
    response = client.generic(
        "PUT",
        f"/api/v1/runs/{run.pk}/payloads/pull/a",
        b"",
        **{"CONTENT_LENGTH": "", "wsgi.input": io.BytesIO(b"chunks"), "wsgi.input_terminated": True},
    )

    assert response.status_code == 201
    assert response.json()["size"] == 6


def test_incomplete_body_is_503_and_not_stored(client, run):
    response = client.generic(
        "PUT",
        f"/api/v1/runs/{run.pk}/payloads/pull/a",
        b"",
        **{"CONTENT_LENGTH": "100", "wsgi.input": io.BytesIO(b"part")},
    )

    assert response.status_code == 503
    assert "Retry-After" in response
    assert not Payload.objects.filter(status=Payload.Status.STORED).exists()
    assert put_file(client, run, "a").status_code == 201


@pytest.mark.parametrize("is_declared", [True, False])
@pytest.mark.parametrize("name_is_taken", [True, False])
def test_file_beyond_the_limit_is_413(client, run, settings, is_declared, name_is_taken):
    if name_is_taken:
        put_file(client, run, "a")
    settings.MAX_PAYLOAD_BYTES = 99
    length = "100" if is_declared else ""

    response = client.generic(
        "PUT",
        f"/api/v1/runs/{run.pk}/payloads/pull/a",
        b"",
        **{"CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(b"x" * 100), "wsgi.input_terminated": True},
    )

    assert response.status_code == 413
    assert response.json()["type"] == "urn:problem-type:synclog:payload-too-large"
    assert Payload.objects.filter(status=Payload.Status.STORED).count() == name_is_taken
