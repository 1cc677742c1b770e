"""Cursor pagination of the lists."""

import base64
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.api.queries.pagination import Cursor
from tests.api.conftest import client_of
from tests.factories import make_payload, make_run, make_service, make_token

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


@pytest.mark.parametrize("key", [">0", "<99999999999999999999999", ">abc", "?1", ">", "", ">1\x00", "\xff"])
@pytest.mark.parametrize("path", ["/api/v1/services/", "/api/v1/runs/", "/api/v1/payloads/"])
def test_invented_cursor_is_400(client, path, key):
    make_payload()
    cursor = base64.urlsafe_b64encode(key.encode("latin-1")).decode() or "="

    response = client.get(path, {"cursor": cursor})

    assert "unchanged" in error_of(response, "cursor")


def test_cursor_of_an_invisible_row_is_400(service):
    hidden = make_service(slug="zzz")
    client = client_of(make_token(services=[service])[1])
    cursor = Cursor(str(hidden.pk), is_backward=True).encode()

    response = client.get("/api/v1/services/", {"cursor": cursor})

    assert "unchanged" in error_of(response, "cursor")


@pytest.mark.parametrize("path", ["/api/v1/services/", "/api/v1/runs/", "/api/v1/payloads/"])
def test_pages_lead_to_the_end_and_back(client, path):
    for _index in range(5):
        make_payload(make_run(store_pull=True))
    key = "slug" if "services" in path else "id"

    page = client.get(path, {"limit": 2}).json()
    forth = [page]
    while page["next"]:
        page = client.get(page["next"]).json()
        forth.append(page)
    back = [page]
    while page["previous"]:
        page = client.get(page["previous"]).json()
        back.append(page)

    assert [len(page["results"]) for page in forth] == [2, 2, 1]
    keys = [item[key] for page in forth for item in page["results"]]
    assert len(set(keys)) == 5
    assert [item[key] for page in reversed(back) for item in page["results"]] == keys
    assert keys == [item[key] for item in client.get(path).json()["results"]]


def test_new_run_does_not_shift_the_next_page(client, service):
    runs = [make_run(service).pk for _index in range(4)]
    first = client.get("/api/v1/runs/?limit=2").json()

    make_run(service)

    second = client.get(first["next"]).json()
    assert [run["id"] for page in (first, second) for run in page["results"]] == runs[::-1]


def test_runs_filtered_by_start_are_ordered_and_paged_by_start(client, service):
    now = timezone.now()
    runs = [make_run(service, started_at=now - timedelta(hours=hours)) for hours in (2, 1, 3, 1)]
    query = {"started_after": (now - timedelta(days=1)).isoformat(), "limit": 1}

    pages, url = [], "/api/v1/runs/"
    while url:
        response = client.get(url, query)
        pages += ids(response)
        url, query = response.json()["next"], None

    assert pages == [runs[3].pk, runs[1].pk, runs[0].pk, runs[2].pk]


def test_page_of_payloads_is_an_index_range_although_times_are_equal(client):
    run, moment = make_run(store_pull=True), timezone.now()
    payloads = [make_payload(run, created_at=moment) for _index in range(3)]
    first = client.get("/api/v1/payloads/?limit=2").json()

    with CaptureQueriesContext(connection) as queries:
        second = client.get(first["next"])

    assert ids(second) == [str(min(payload.pk for payload in payloads))]
    plan = _plan(queries.captured_queries[-1]["sql"])
    assert "payload_latest" in plan
    assert "(created_at, id) < " in plan.replace("(created_at,id)<", "(created_at, id) < ")


def test_page_of_payloads_of_one_service_reads_no_other_services(service):
    client = client_of(make_token(services=[service])[1])
    run, moment = make_run(service, store_pull=True), timezone.now()
    payloads = [make_payload(run, created_at=moment) for _index in range(3)]
    make_payload(created_at=moment)
    first = client.get("/api/v1/payloads/?limit=2").json()

    with CaptureQueriesContext(connection) as queries:
        second = client.get(first["next"])

    assert ids(second) == [str(min(payload.pk for payload in payloads))]
    query = queries.captured_queries[-1]["sql"]
    assert "runs_run" not in query
    plan = _plan(query)
    assert "payload_service_latest" in plan
    assert "(service_id = " in plan.replace("(service_id=", "(service_id = ")


def _plan(query):
    """Query plan for a table that is too large for a sequential scan."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {'QUERY PLAN' if connection.vendor == 'sqlite' else ''} {query}")
        return str(cursor.fetchall())
