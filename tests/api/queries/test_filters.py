"""Filters, order and query counts of the lists."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.runs.models import Run
from tests.api.conftest import client_of
from tests.factories import make_payload, make_run, make_token, make_user

pytestmark = pytest.mark.django_db


def ids(response):
    assert response.status_code == 200, response.json()
    return [item["id"] for item in response.json()["results"]]


def error_of(response, field):
    """Error message of a 400 response for a field."""
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert field in problem["detail"]
    return " ".join(problem["errors"][field])


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(
    ("path", "queries"), [("/api/v1/services/", 2), ("/api/v1/runs/", 2), ("/api/v1/payloads/", 2)]
)
def test_lists_take_the_same_queries_for_1_and_3_rows(
    client, path, queries, number, django_assert_num_queries
):
    for _index in range(number):
        make_payload(make_run(started_by=make_user(), store_pull=True))

    with django_assert_num_queries(queries):
        response = client.get(path)

    assert len(response.json()["results"]) == number


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(
    ("path", "queries"), [("/api/v1/runs/", 3), ("/api/v1/runs/?service=orders", 4), ("/api/v1/payloads/", 3)]
)
def test_lists_of_a_limited_token_take_the_same_queries_for_1_and_3_rows(
    service, path, queries, number, django_assert_num_queries
):
    client = client_of(make_token(services=[service])[1])
    for _index in range(number):
        make_payload(make_run(service, store_pull=True))
    client.get(path)

    # The token, its services, the service of the filter, and the list.
    with django_assert_num_queries(queries):
        response = client.get(path)

    assert len(response.json()["results"]) == number


def test_runs_are_listed_newest_first(client, service):
    runs = [make_run(service) for _index in range(3)]

    assert ids(client.get("/api/v1/runs/")) == [run.pk for run in reversed(runs)]


def test_runs_are_filtered_by_service_status_and_trigger(client, service):
    failed = make_run(service, status=Run.Status.FAILED)
    lost = make_run(service, status=Run.Status.LOST, trigger=Run.Trigger.API)
    make_run(service)
    other = make_run()

    assert ids(client.get(f"/api/v1/runs/?service={other.service.slug}")) == [other.pk]
    assert ids(client.get("/api/v1/runs/?status=failed")) == [failed.pk]
    assert ids(client.get("/api/v1/runs/?status=failed&status=lost")) == [lost.pk, failed.pk]
    assert ids(client.get("/api/v1/runs/?status=failed,lost")) == [lost.pk, failed.pk]
    assert ids(client.get("/api/v1/runs/?trigger=api")) == [lost.pk]
    assert ids(client.get("/api/v1/runs/?service=nowhere")) == []


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("services/", "cursor, limit"),
        ("runs/", "service, status, trigger, started_after, started_before, cursor, limit"),
        ("payloads/", "run, cursor, limit"),
    ],
)
def test_error_of_an_unknown_parameter_lists_the_known_ones(client, service, path, known):
    make_run(service)

    response = client.get(f"/api/v1/{path}?statsu=failed")

    assert error_of(response, "statsu") == f"Unknown name. Allowed: {known}."
    assert client.get(f"/api/v1/{path}?limit=5&cursor=&format=json").status_code == 200


def test_runs_are_filtered_by_start_including_after_excluding_before(client, service):
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    early, at_noon, late = (
        make_run(service, started_at=noon + timedelta(minutes=minutes)) for minutes in (-1, 0, 1)
    )
    make_run(service, status=Run.Status.QUEUED)
    text = f"{noon:%Y-%m-%dT%H:%M:%SZ}"

    assert ids(client.get("/api/v1/runs/", {"started_after": text})) == [late.pk, at_noon.pk]
    assert ids(client.get("/api/v1/runs/", {"started_before": text})) == [early.pk]
    assert ids(client.get("/api/v1/runs/", {"started_before": f"{noon:%Y-%m-%dT%H:%M:%S}+00:00"})) == [
        early.pk
    ]


@pytest.mark.parametrize(
    ("path", "field", "message"),
    [
        ("/api/v1/runs/?status=broken", "status", "Allowed: queued, running, succeeded, failed"),
        ("/api/v1/runs/?status=failed,broken", "status", "“broken”"),
        ("/api/v1/runs/?trigger=sun", "trigger", "Allowed: manual, schedule, api, retry"),
        ("/api/v1/alerts/incidents/?state=broken", "state", "Allowed: open, closed"),
        ("/api/v1/runs/?started_after=yesterday", "started_after", "ISO 8601"),
        ("/api/v1/runs/?started_after=2026-11-23T07:15:09 00:00", "started_after", "ISO 8601"),
        ("/api/v1/runs/?started_before=9999-12-31T23:59:59-12:00", "started_before", "ISO 8601"),
        ("/api/v1/runs/?service=a%00b", "service", "Null characters"),
        ("/api/v1/runs/?limit=abc", "limit", "from 1 to 500"),
        ("/api/v1/runs/?limit=0", "limit", "from 1 to 500"),
        ("/api/v1/runs/?limit=501", "limit", "from 1 to 500"),
        ("/api/v1/runs/?limit=" + "9" * 5000, "limit", "from 1 to 500"),
        ("/api/v1/services/?limit=-1", "limit", "from 1 to 500"),
        ("/api/v1/runs/?cursor=nonsense", "cursor", "unchanged"),
        ("/api/v1/runs/?cursor=cD1hYmM=", "cursor", "unchanged"),
        ("/api/v1/runs/?cursor=ä", "cursor", "unchanged"),
        ("/api/v1/payloads/?run=abc", "run", "number of a run"),
        ("/api/v1/payloads/?run=-1", "run", "number of a run"),
        ("/api/v1/payloads/?run=1.5", "run", "number of a run"),
        ("/api/v1/payloads/?run=99999999999999999999999", "run", "number of a run"),
    ],
)
def test_invalid_parameter_is_400_with_the_valid_values(client, path, field, message):
    assert message in error_of(client.get(path), field)


def test_payloads_of_a_run_are_in_the_order_of_creation(client):
    run = make_run(store_pull=True)
    payloads = [make_payload(run, created_at=timezone.now() + timedelta(seconds=index)) for index in range(3)]
    make_payload()

    assert ids(client.get(f"/api/v1/payloads/?run={run.pk}")) == [str(payload.pk) for payload in payloads]
