"""Reported log lines."""

import threading
from datetime import UTC, datetime

import pytest
from django.db import connection

from apps.runs.models import LogEntry, Run, RunProblem
from tests.api.conftest import client_of
from tests.api.reports.requests import NDJSON, line, open_run, post_lines, stored_lines
from tests.factories import make_token

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("content_type", [NDJSON, "application/json"])
def test_lines_are_stored_cleaned_and_counted(client, run, content_type):
    lines = [
        line(1, "got 2", logged_at="2026-11-23T08:15:09.123456+01:00", level="debug", step="start"),
        line(2, "a\x00b\tc\\d\ne", level="warning"),
        line(3, "<b>broken</b>\nmore", level="error", step="push"),
        line(4, "again", level="error"),
    ]

    response = post_lines(client, run, lines, content_type=content_type)

    run.refresh_from_db()
    first = LogEntry.objects.get(run_id=run.pk, sequence=1)
    assert (response.status_code, response.json()) == (200, {"last_sequence": 4})
    assert (first.level, first.step) == (10, 1)
    assert first.logged_at == datetime(2026, 11, 23, 7, 15, 9, first.logged_at.microsecond, UTC)
    assert stored_lines(run)[1:] == [(2, "a␀b\tc\\d\ne"), (3, "<b>broken</b>\nmore"), (4, "again")]
    assert (run.line_count, run.warning_count, run.error_count) == (4, 1, 2)
    assert (run.error, run.error_sequence) == ("<b>broken</b>", 3)


def test_invalid_utf_8_is_escaped(client, run):
    body = b'{"sequence": 1, "message": "caf\xe9"}\n'

    response = client.post(f"/api/v1/runs/{run.pk}/log/", body, content_type=NDJSON)

    assert response.status_code == 200
    assert stored_lines(run) == [(1, "caf\\xe9")]


def test_chunked_batch_is_411_not_an_empty_batch(client, run):
    response = client.post(
        f"/api/v1/runs/{run.pk}/log/", b"", content_type=NDJSON, headers={"Transfer-Encoding": "chunked"}
    )

    assert response.status_code == 411


def test_long_line_is_cut(client, run):
    post_lines(client, run, [line(1, "x" * 40_000)])

    assert stored_lines(run)[0][1].endswith("[7,232 bytes cut]")


def test_repeated_lines_change_nothing(client, run):
    first = post_lines(client, run, [line(1), line(2)])
    whole = post_lines(client, run, [line(1, "other"), line(2)])
    part = post_lines(client, run, [line(2, "other"), line(3), line(3, "twice"), line(4, level="error")])
    none = post_lines(client, run, [])

    run.refresh_from_db()
    assert [response.json()["last_sequence"] for response in (first, whole, part, none)] == [2, 2, 4, 4]
    assert stored_lines(run) == [(1, "Line 1"), (2, "Line 2"), (3, "Line 3"), (4, "Line 4")]
    assert run.error_count == 1


def test_empty_body_is_an_empty_batch(client, run):
    response = client.generic("POST", f"/api/v1/runs/{run.pk}/log/", "", CONTENT_TYPE=NDJSON)

    assert (response.status_code, response.json()) == (200, {"last_sequence": 0})


@pytest.mark.parametrize("lines", [[3], [2, 4], [1, 2, 4], [2, 3, 5]])
def test_missing_line_is_409_with_the_expected_number_and_stores_nothing(client, run, lines):
    post_lines(client, run, [line(1)])

    response = post_lines(client, run, [line(sequence) for sequence in lines])

    expected = next(number for number in range(2, 6) if number not in lines)
    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "urn:problem-type:synclog:lines-missing"
    assert response.json()["expected_sequence"] == expected
    assert str(expected) in response.json()["detail"]
    assert stored_lines(run) == [(1, "Line 1")]


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
def test_invalid_line_is_400_and_stores_nothing(client, run, item, field):
    response = post_lines(client, run, [line(1), item])

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]
    assert stored_lines(run) == []


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
def test_invalid_batch_is_a_problem(client, run, body, content_type, status):
    response = client.post(f"/api/v1/runs/{run.pk}/log/", body, content_type=content_type)

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"


def test_batch_of_10000_lines_takes_the_same_queries_as_one_line(client, run, django_assert_num_queries):
    few, many = [line(1)], [line(number) for number in range(2, 10_002)]

    with django_assert_num_queries(7):
        post_lines(client, run, few)
    with django_assert_num_queries(7):
        response = post_lines(client, run, many)

    assert response.json() == {"last_sequence": 10_001}


@pytest.mark.django_db(transaction=True)
def test_simultaneous_reports_store_each_line_once(nightly):
    _token, secret = make_token()
    run = Run.objects.get(pk=open_run(client_of(secret)).json()["id"])
    barrier = threading.Barrier(4)
    statuses = []

    def report():
        client = client_of(secret)
        barrier.wait()
        for first in range(1, 201, 20):
            response = post_lines(client, run, [line(number) for number in range(first, first + 30)])
            statuses.append(response.status_code)
        connection.close()

    threads = [threading.Thread(target=report) for _index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 40
    assert stored_lines(run) == [(number, f"Line {number}") for number in range(1, 211)]
    assert Run.objects.get(pk=run.pk).line_count == 210


def test_response_to_the_next_batch_announces_a_requested_cancellation(client, run):
    before = post_lines(client, run, [line(1)])
    client.post(f"/api/v1/runs/{run.pk}/cancel/")

    after = post_lines(client, run, [])

    assert "Synclog-Cancel-Requested" not in before
    assert after["Synclog-Cancel-Requested"] == "true"


def test_repeated_report_counts_each_problem_once(client, run):
    lines = [line(number, f"Customer {number} has no address", level="error") for number in (1, 2, 3)]

    for batch in (lines[:2], lines):
        assert post_lines(client, run, batch).status_code == 200

    problem = RunProblem.objects.get(run=run)
    assert (problem.count, problem.first_sequence, problem.last_sequence) == (3, 1, 3)
    assert problem.message == "Customer 3 has no address"
