"""Reported records."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.runs.models import Record, Run
from tests.api.conftest import client_of
from tests.api.reports.requests import NDJSON, finish, line, post_lines
from tests.factories import make_run, make_token

pytestmark = pytest.mark.django_db


def post(client, run, records, *, content_type=NDJSON):
    body = (
        "".join(json.dumps(item) + "\n" for item in records)
        if content_type == NDJSON
        else json.dumps({"records": records})
    )
    return client.post(f"/api/v1/runs/{run.pk}/records/", body or "\n", content_type=content_type)


def record(key, outcome="pushed", **fields):
    return {"key": key, "outcome": outcome} | fields


def stored(run):
    return {
        row.key: (Record.Outcome(row.outcome).slug, row.message)
        for row in Record.objects.filter(run=run).order_by("key")
    }


@pytest.mark.parametrize("content_type", [NDJSON, "application/json"])
def test_records_are_stored_and_counted(client, run, content_type):
    post_lines(client, run, [line(1), line(2)])
    records = [
        record("10045", "refused", message="unknown\x00 sku\nmore", sequence=1),
        record(7, "dropped"),
        record("a\tb\\", message="é" * 501),
        record("7", "refused", message="again"),
    ]

    response = post(client, run, records, content_type=content_type)

    run.refresh_from_db()
    assert (response.status_code, response.json()) == (200, {"record_count": 4})
    assert stored(run) == {
        "10045": ("refused", "unknown␀ sku"),
        "7": ("refused", "again"),
        "a␉b\\": ("pushed", "é" * 499 + "…"),
    }
    places = Record.objects.order_by("key").values_list("sequence", "step", "page", "batch")
    assert list(places) == [(1, 4, 0, 0), (2, 4, 0, 0), (2, 4, 0, 0)]
    assert (run.refused_count, run.has_records) == (2, True)
    [newest, *_others] = client.get(f"/api/v1/records/?run={run.pk}").json()["results"]
    assert newest["payloads"] == []


def test_repeats_change_nothing_and_the_worst_outcome_counts(client, run):
    for outcome in ("pulled", "refused", "pushed", "refused"):
        assert post(client, run, [record("1", outcome), record("2")]).status_code == 200
    finish(client, run, pulled_count=2)

    repeated = post(client, run, [record("1", "refused"), record("2")])
    late = post(client, run, [record("1", "refused"), record("3")])

    run.refresh_from_db()
    assert {key: outcome for key, (outcome, _message) in stored(run).items()} == {
        "1": "refused",
        "2": "pushed",
    }
    assert run.refused_count == 1
    assert (repeated.status_code, late.status_code) == (200, 409)
    assert (late.json()["type"], late.json()["run_status"]) == (
        "urn:problem-type:synclog:run-has-ended",
        "succeeded",
    )


def test_report_renews_the_lease_and_announces_a_cancellation(client, run):
    client.post(f"/api/v1/runs/{run.pk}/cancel/")
    before = Run.objects.get(pk=run.pk).lease_until

    response = client.generic("POST", f"/api/v1/runs/{run.pk}/records/", "", CONTENT_TYPE=NDJSON)

    assert (response.status_code, response.json()) == (200, {"record_count": 0})
    assert response["Synclog-Cancel-Requested"] == "true"
    assert Run.objects.get(pk=run.pk).lease_until > before


def test_untracked_service_stores_no_records(client, run, nightly):
    nightly.track_records = False
    nightly.save()

    response = post(client, run, [record("1", "refused")])

    run.refresh_from_db()
    assert (response.status_code, stored(run), run.has_records) == (200, {}, False)


def test_other_runs_and_other_users_are_refused(client, run):
    integration = make_run(status="running")
    other = client_of(make_token()[1])
    lost = make_run(run.service, status="lost", started_by=run.started_by)

    responses = [
        post(client, integration, [record("1")]),
        post(other, run, [record("1")]),
        post(client, lost, [record("1")]),
    ]

    assert [response.status_code for response in responses] == [409, 403, 409]
    assert responses[2].json()["run_status"] == "lost"
    assert not Record.objects.exists()


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ([], "records.1"),
        ({"outcome": "pushed"}, "records.1.key"),
        *((record(key), "records.1.key") for key in ("", None, True, [], {"id": 1})),
        ({"key": "2"}, "records.1.outcome"),
        (record("2", "lost"), "records.1.outcome"),
        (record("2", message=None), "records.1.message"),
        *((record("2", sequence=sequence), "records.1.sequence") for sequence in (0, True, "1", 2**31, None)),
        (record("2", colour="red"), "records.1.colour"),
    ],
)
def test_invalid_record_is_400_and_stores_nothing(client, run, item, field):
    response = post(client, run, [record("1"), item])

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]
    assert stored(run) == {}


def test_batch_of_10000_records_takes_the_same_queries_as_one(client, run):
    with CaptureQueriesContext(connection) as few:
        post(client, run, [record(0)])
    with CaptureQueriesContext(connection) as many:
        response = post(client, run, [record(n, message=f"m{n}") for n in range(1, 10_001)])
    too_many = post(client, run, [record(n) for n in range(10_001)])

    assert (response.status_code, too_many.status_code) == (200, 413)
    assert len(few) == len(many)
    assert len(stored(run)) == 10_001
