"""Runs that happen elsewhere and are reported: lines, files, and the end."""

import io
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.storage import storages
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.runs.models import LogEntry, Payload, Run
from apps.runs.recovery.lost_runs import close_lost_runs
from apps.services.models import Service
from tests.api.conftest import body_of, client_of
from tests.factories import make_run, make_service, make_token

pytestmark = pytest.mark.django_db
NDJSON = "application/x-ndjson"


@pytest.fixture
def nightly(db) -> Service:
    return make_service(
        slug="nightly",
        kind="reported",
        source_connection=None,
        destination_connection=None,
        source_options={},
        destination_options={},
    )


@pytest.fixture
def run(client, nightly) -> Run:
    return Run.objects.get(pk=opened(client).json()["id"])


def opened(client, body=None, **headers):
    return client.post(
        "/api/v1/services/nightly/runs/", body or {}, content_type="application/json", headers=headers
    )


def line(sequence, message="", **more):
    return {"sequence": sequence, "message": message or f"Line {sequence}"} | more


def post(client, run, lines, *, content_type=NDJSON):
    body = (
        "".join(json.dumps(item) + "\n" for item in lines)
        if content_type == NDJSON
        else json.dumps({"lines": lines})
    )
    return client.post(f"/api/v1/runs/{run.pk}/log/", body or "\n", content_type=content_type)


def put(client, run, name="page-1.json", body=b'[{"id": 1}]', *, kind="pull", **headers):
    return client.put(
        f"/api/v1/runs/{run.pk}/payloads/{kind}/{name}",
        body,
        content_type="application/json",
        headers=headers,
    )


def finish(client, run, **body):
    return client.post(
        f"/api/v1/runs/{run.pk}/finish/", {"status": "succeeded"} | body, content_type="application/json"
    )


def stored(run):
    return list(
        LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("sequence", "message")
    )


# --- Opening ---


def test_run_is_running_at_once_and_leased(client, nightly):
    response = opened(client, {"dry_run": True})

    run = Run.objects.get()
    assert response.status_code == 201
    assert response["Location"] == f"http://testserver/api/v1/runs/{run.pk}/"
    assert response.json() == client.get(response["Location"]).json()
    assert (run.status, run.trigger, run.is_dry_run) == ("running", "api", True)
    assert timedelta(minutes=4) < run.lease_until - timezone.now() <= timedelta(minutes=5)


def test_same_key_opens_one_run(client, nightly):
    first, again = (opened(client, **{"Idempotency-Key": "k"}) for _index in range(2))
    other = opened(client, {"dry_run": True}, **{"Idempotency-Key": "k"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.parametrize("body", [{"store": ["pull"]}, {"options": {"page_size": 5}}])
def test_what_only_runs_here_have_is_400(client, nightly, body):
    response = opened(client, body)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == list(body)


def test_reported_service_needs_the_scope_to_report_and_others_do_not_take_it(nightly, service):
    starts = client_of(make_token(scopes=["run:start"])[1])
    reports = client_of(make_token(scopes=["run:report"])[1])

    refused = opened(starts)
    wrong = reports.post("/api/v1/services/orders/runs/", {}, content_type="application/json")

    assert (refused.status_code, wrong.status_code) == (403, 403)
    assert "run:report" in refused.json()["detail"]
    assert "run:start" in wrong.json()["detail"]
    assert opened(reports).status_code == 201


def test_reported_service_is_described_without_connections(client, nightly):
    document = client.get("/api/v1/services/nightly/").json()

    assert (document["kind"], document["source"], document["destination"]) == ("reported", None, None)


# --- Lines ---


@pytest.mark.parametrize("content_type", [NDJSON, "application/json"])
def test_lines_are_stored_cleaned_and_counted(client, run, content_type):
    lines = [
        line(1, "got 2", logged_at="2026-11-23T08:15:09.123456+01:00", level="debug", step="start"),
        line(2, "a\x00b\tc\\d\ne", level="warning"),
        line(3, "<b>broken</b>\nmore", level="error", step="push"),
        line(4, "again", level="error"),
    ]

    response = post(client, run, lines, content_type=content_type)

    run.refresh_from_db()
    first = LogEntry.objects.get(run_id=run.pk, sequence=1)
    assert (response.status_code, response.json()) == (200, {"last_sequence": 4})
    assert (first.level, first.step) == (10, 1)
    assert first.logged_at == datetime(2026, 11, 23, 7, 15, 9, first.logged_at.microsecond, UTC)
    assert stored(run)[1:] == [(2, "a␀b\tc\\d\ne"), (3, "<b>broken</b>\nmore"), (4, "again")]
    assert (run.line_count, run.warning_count, run.error_count) == (4, 1, 2)
    assert (run.error, run.error_sequence) == ("<b>broken</b>", 3)


def test_bytes_that_are_no_utf_8_are_escaped(client, run):
    body = b'{"sequence": 1, "message": "caf\xe9"}\n'

    response = client.post(f"/api/v1/runs/{run.pk}/log/", body, content_type=NDJSON)

    assert response.status_code == 200
    assert stored(run) == [(1, "caf\\xe9")]


def test_batch_in_chunks_is_411_and_not_taken_for_an_empty_one(client, run):
    response = client.post(
        f"/api/v1/runs/{run.pk}/log/", b"", content_type=NDJSON, headers={"Transfer-Encoding": "chunked"}
    )

    assert response.status_code == 411


def test_long_line_is_cut(client, run):
    post(client, run, [line(1, "x" * 40_000)])

    assert stored(run)[0][1].endswith("[7,232 bytes cut]")


def test_repeats_are_harmless_whole_and_in_part(client, run):
    first = post(client, run, [line(1), line(2)])
    whole = post(client, run, [line(1, "other"), line(2)])
    part = post(client, run, [line(2, "other"), line(3), line(3, "twice"), line(4, level="error")])
    none = post(client, run, [])

    run.refresh_from_db()
    assert [answer.json()["last_sequence"] for answer in (first, whole, part, none)] == [2, 2, 4, 4]
    assert stored(run) == [(1, "Line 1"), (2, "Line 2"), (3, "Line 3"), (4, "Line 4")]
    assert run.error_count == 1


def test_body_of_no_bytes_is_a_sign_of_life(client, run):
    response = client.generic("POST", f"/api/v1/runs/{run.pk}/log/", "", CONTENT_TYPE=NDJSON)

    assert (response.status_code, response.json()) == (200, {"last_sequence": 0})


@pytest.mark.parametrize("lines", [[3], [2, 4], [1, 2, 4], [2, 3, 5]])
def test_gap_is_409_naming_the_next_line_and_stores_nothing(client, run, lines):
    post(client, run, [line(1)])

    response = post(client, run, [line(sequence) for sequence in lines])

    expected = next(number for number in range(2, 6) if number not in lines)
    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "urn:problem-type:synclog:lines-missing"
    assert response.json()["expected_sequence"] == expected
    assert str(expected) in response.json()["detail"]
    assert stored(run) == [(1, "Line 1")]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ([], "lines.1"),
        ({"sequence": 2}, "lines.1.message"),
        ({"message": "x"}, "lines.1.sequence"),
        (line(0), "lines.1.sequence"),
        (line(1.5), "lines.1.sequence"),
        (line(True), "lines.1.sequence"),
        (line(2**63), "lines.1.sequence"),
        (line("2"), "lines.1.sequence"),
        (line(2) | {"message": None}, "lines.1.message"),
        (line(2, level="fatal"), "lines.1.level"),
        (line(2, level=["info"]), "lines.1.level"),
        (line(2, step="middle"), "lines.1.step"),
        (line(2, logged_at="yesterday"), "lines.1.logged_at"),
        (line(2, logged_at=5), "lines.1.logged_at"),
        (line(2, logged_at="0001-01-01T00:00:00+14:00"), "lines.1.logged_at"),
        (line(2, colour="red"), "lines.1.colour"),
    ],
)
def test_line_that_is_no_use_is_400_and_stores_nothing(client, run, item, field):
    response = post(client, run, [line(1), item])

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]
    assert stored(run) == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", NDJSON, 400),
        ("[" * 100_000, NDJSON, 400),
        ('{"sequence": ' + "1" * 5000 + "}", NDJSON, 400),
        ('{"lines": [{"sequence": ' + "1" * 5000 + "}]}", "application/json", 400),
        ("[]", "application/json", 400),
        ('{"lines": {}}', "application/json", 400),
        ('{"lines": [], "more": 1}', "application/json", 400),
        ("a=b", "text/plain", 415),
        ("\n" * (8 * 1024 * 1024 + 1), NDJSON, 413),
        (" " * (8 * 1024 * 1024 + 1), "application/json", 413),
        ('{"sequence":1,"message":""}\n' * 10_001, NDJSON, 413),
    ],
    ids=range(11),
)
def test_body_that_is_no_batch_is_a_problem(client, run, body, content_type, status):
    response = client.post(f"/api/v1/runs/{run.pk}/log/", body, content_type=content_type)

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"


def test_ten_thousand_lines_are_taken_at_once_in_constant_queries(client, run, django_assert_num_queries):
    few, many = [line(1)], [line(number) for number in range(2, 10_002)]

    with django_assert_num_queries(7):
        post(client, run, few)
    with django_assert_num_queries(7):
        response = post(client, run, many)

    assert response.json() == {"last_sequence": 10_001}


@pytest.mark.django_db(transaction=True)
def test_two_reporters_at_once_neither_double_nor_drop_lines(nightly):
    _token, secret = make_token()
    run = Run.objects.get(pk=opened(client_of(secret)).json()["id"])
    barrier = threading.Barrier(4)
    statuses = []

    def report():
        client = client_of(secret)
        barrier.wait()
        for first in range(1, 201, 20):
            response = post(client, run, [line(number) for number in range(first, first + 30)])
            statuses.append(response.status_code)
        connection.close()

    threads = [threading.Thread(target=report) for _index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 40
    assert stored(run) == [(number, f"Line {number}") for number in range(1, 211)]
    assert Run.objects.get(pk=run.pk).line_count == 210


def test_wish_to_cancel_is_told_with_the_next_batch(client, run):
    before = post(client, run, [line(1)])
    client.post(f"/api/v1/runs/{run.pk}/cancel/")

    after = post(client, run, [])

    assert "Synclog-Cancel-Requested" not in before
    assert after["Synclog-Cancel-Requested"] == "true"


# --- Silence ---


def test_each_report_renews_the_lease(client, run):
    soon = timezone.now() + timedelta(seconds=5)

    for report in (
        lambda: post(client, run, [line(1)]),
        lambda: post(client, run, []),
        lambda: put(client, run),
    ):
        Run.objects.update(lease_until=soon)
        report()
        run.refresh_from_db()
        assert run.lease_until > soon + timedelta(minutes=4)


def test_silence_past_the_lease_makes_it_lost_and_further_reports_409(client, run):
    post(client, run, [line(1)])
    Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    closed = close_lost_runs(worker="test")

    run.refresh_from_db()
    assert (closed, run.status, run.is_complete) == (1, "lost", True)
    assert stored(run)[0] == (1, "Line 1")
    for response in (
        post(client, run, [line(2)]),
        post(client, run, [line(1)]),
        put(client, run),
        finish(client, run),
    ):
        assert response.status_code == 409
        assert response.json()["type"] == "urn:problem-type:synclog:run-has-ended"
        assert "lost" in response.json()["detail"]


def test_report_in_time_keeps_the_run_although_the_lease_ran_out(client, run):
    Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    response = post(client, run, [line(1)])

    assert response.status_code == 200
    assert close_lost_runs(worker="test") == 0


# --- Files ---


def test_file_is_kept_at_its_line_and_fetched_again(client, run):
    post(client, run, [line(1)])

    response = put(client, run, **{"X-Log-Sequence": "1"})

    payload = Payload.objects.get()
    document = response.json()
    log = client.get(f"/api/v1/runs/{run.pk}/log/").json()
    assert response.status_code == 201
    assert document == client.get(f"/api/v1/payloads/{payload.pk}/").json()
    assert (document["kind"], document["name"], document["size"]) == ("pull", "page-1.json", 11)
    assert (document["content_type"], document["expires_at"]) == ("application/json", None)
    assert body_of(client.get(document["download_url"])) == b'[{"id": 1}]'
    assert [found["id"] for found in log["lines"][0]["payloads"]] == [str(payload.pk)]


def test_same_file_again_changes_nothing_and_another_is_409(client, run):
    first = put(client, run)
    again = put(client, run)
    other = put(client, run, body=b"other")
    other_kind = put(client, run, body=b"other", kind="push")

    assert [answer.status_code for answer in (first, again, other, other_kind)] == [201, 200, 409, 201]
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
def test_name_that_is_none_of_a_file_is_400(client, run, name):
    response = put(client, run, name)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["name"]
    assert not Payload.objects.exists()


@pytest.mark.parametrize(
    "name", ["a\"b'c.json", "ünï.json", "%252e%252e%252f", "a;b&c=d.json", "<b>.html", "x" * 255, "%FF.bin"]
)
def test_name_that_is_odd_is_data_and_no_part_of_the_key(client, run, name):
    response = put(client, run, name)

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
def test_file_that_is_no_use_is_400(client, run, kind, headers, field):
    response = put(client, run, kind=kind, **headers)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]


def test_body_without_a_length_is_411(run, client):
    response = client.generic("PUT", f"/api/v1/runs/{run.pk}/payloads/pull/a", b"", CONTENT_LENGTH="")

    assert response.status_code == 411


def test_body_in_chunks_is_kept_where_the_server_ends_it(client, run):
    response = client.generic(
        "PUT",
        f"/api/v1/runs/{run.pk}/payloads/pull/a",
        b"",
        **{"CONTENT_LENGTH": "", "wsgi.input": io.BytesIO(b"chunks"), "wsgi.input_terminated": True},
    )

    assert response.status_code == 201
    assert response.json()["size"] == 6


def test_body_that_breaks_off_is_not_kept_as_whole(client, run):
    response = client.generic(
        "PUT",
        f"/api/v1/runs/{run.pk}/payloads/pull/a",
        b"",
        **{"CONTENT_LENGTH": "100", "wsgi.input": io.BytesIO(b"part")},
    )

    assert response.status_code == 503
    assert "Retry-After" in response
    assert not Payload.objects.filter(status=Payload.Status.STORED).exists()
    assert put(client, run, "a").status_code == 201


@pytest.mark.parametrize("is_declared", [True, False])
@pytest.mark.parametrize("name_is_taken", [True, False])
def test_file_beyond_the_limit_is_413(client, run, settings, is_declared, name_is_taken):
    if name_is_taken:
        put(client, run, "a")
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


# --- The end ---


def test_finish_closes_seals_and_lets_payloads_expire(client, run, settings):
    post(client, run, [line(1), line(2, "bad", level="error")])
    put(client, run)

    response = finish(client, run, status="failed", pulled_count=7, pushed_count=5)

    run.refresh_from_db()
    document = response.json()
    assert response.status_code == 200
    assert document == client.get(f"/api/v1/runs/{run.pk}/").json()
    assert (document["status"], document["pulled_count"], document["pushed_count"]) == ("failed", 7, 5)
    assert (document["error"], document["is_complete"], document["line_count"]) == ("bad", True, 2)
    assert (run.lease_token, run.lease_until) == (None, None)
    assert Payload.objects.get().expires_at == run.finished_at + settings.PAYLOAD_RETENTION
    assert client.get(f"/api/v1/runs/{run.pk}/log/").json()["poll_after"] is None


def test_finish_told_again_says_the_same_and_otherwise_409(client, run):
    post(client, run, [line(1)])
    body = {"status": "failed", "pulled_count": 3, "pushed_count": 0, "error": "No\x00 luck"}

    first, again = finish(client, run, **body), finish(client, run, **body)
    others = [finish(client, run), finish(client, run, **body | {"error": "Other"})]
    repeat, more = post(client, run, [line(1)]), post(client, run, [line(2)])

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert first.json()["error"] == "No␀ luck"
    assert [answer.status_code for answer in others] == [409, 409]
    assert (repeat.status_code, more.status_code, put(client, run).status_code) == (200, 409, 409)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"status": "running"}, "status"),
        ({"pulled_count": -1}, "pulled_count"),
        ({"pushed_count": 2**63}, "pushed_count"),
        ({"error": {}}, "error"),
        ({"note": "x"}, "note"),
    ],
)
def test_end_that_is_no_use_is_400(client, run, body, field):
    response = finish(client, run, **body)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]


# --- Whose run it is ---


def reports(client, run):
    return post(client, run, [line(1)]), put(client, run), finish(client, run)


def test_run_that_is_executed_here_is_409(client, service):
    responses = reports(client, make_run(service, status="running"))

    assert [response.status_code for response in responses] == [409] * 3
    assert responses[0].json()["type"] == "urn:problem-type:synclog:run-not-reported"


def test_run_of_another_user_is_403(run):
    responses = reports(client_of(make_token()[1]), run)

    assert [response.status_code for response in responses] == [403] * 3
    assert responses[0].json()["type"] == "urn:problem-type:synclog:run-of-another-reporter"


def test_run_of_another_service_is_404(run):
    client = client_of(make_token(services=[make_service()])[1])

    assert [response.status_code for response in reports(client, run)] == [404] * 3


def test_without_a_token_it_is_401(run):
    assert [response.status_code for response in reports(Client(), run)] == [401] * 3
