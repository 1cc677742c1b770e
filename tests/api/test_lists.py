"""The lists and details of services, runs and payloads, as the contract has them."""

import base64
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.api.queries.pagination import Cursor
from apps.runs.models import Payload, Run
from tests.api.conftest import client_of
from tests.factories import make_log_entries, make_payload, make_run, make_service, make_token, make_user

pytestmark = pytest.mark.django_db

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def ids(response):
    assert response.status_code == 200, response.json()
    return [item["id"] for item in response.json()["results"]]


def fault(response, field):
    """The reasons that a 400 gives for a field."""
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert field in problem["detail"]
    return " ".join(problem["errors"][field])


def test_run_has_the_fields_of_the_contract(client, service):
    run = make_run(
        service, started_by=make_user("ann"), pulled_count=3, pushed_count=2, error="The shop is closed."
    )
    make_log_entries(run, 2)

    document = client.get(f"/api/v1/runs/{run.pk}/").json()

    times = {name: document.pop(name) for name in ("queued_at", "started_at", "finished_at")}
    assert all(TIMESTAMP.fullmatch(time) for time in times.values())
    assert document == {
        "id": run.pk,
        "service": "orders",
        "status": "succeeded",
        "trigger": "manual",
        "started_by": "ann",
        "pulled_count": 3,
        "pushed_count": 2,
        "warning_count": 0,
        "error_count": 0,
        "line_count": 2,
        "is_complete": True,
        "lost_line_count": 0,
        "error": "The shop is closed.",
        "log_url": f"http://testserver/api/v1/runs/{run.pk}/log/",
        "payloads_url": f"http://testserver/api/v1/payloads/?run={run.pk}",
    }


def test_run_that_nobody_started_and_that_goes_on_has_nulls(client, service):
    run = make_run(service, status=Run.Status.QUEUED, trigger=Run.Trigger.SCHEDULE)

    document = client.get(f"/api/v1/runs/{run.pk}/").json()

    assert [document[name] for name in ("started_by", "started_at", "finished_at")] == [None, None, None]


def test_times_on_the_second_still_have_six_digits(client, service):
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    run = make_run(service, started_at=noon)

    document = client.get(f"/api/v1/runs/{run.pk}/").json()

    assert document["started_at"] == f"{noon:%Y-%m-%d}T12:00:00.000000Z"


def test_service_says_nothing_of_its_connections_but_their_names(client):
    service = make_service(slug="orders", name="Orders", schedule="0 3 * * *")

    document = client.get("/api/v1/services/orders/").json()

    assert document == {
        "slug": "orders",
        "name": "Orders",
        "kind": "integration",
        "source": service.source_connection.name,
        "destination": service.destination_connection.name,
        "schedule": "0 3 * * *",
        "timezone": "UTC",
        "is_active": True,
        "next_run_at": None,
        "max_attempts": 3,
        "timeout_seconds": 3600,
        "url": "http://testserver/api/v1/services/orders/",
        "runs_url": "http://testserver/api/v1/runs/?service=orders",
    }


def test_payload_has_the_fields_of_the_contract(client):
    run = make_run(store_pull=True)
    payload = make_payload(run, b"abc")

    document = client.get(f"/api/v1/payloads/{payload.pk}/").json()

    assert TIMESTAMP.fullmatch(document.pop("created_at"))
    assert TIMESTAMP.fullmatch(document.pop("expires_at"))
    assert document == {
        "id": str(payload.pk),
        "run": run.pk,
        "kind": "pull",
        "name": "page-1.json",
        "content_type": "application/json",
        "size": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "status": "stored",
        "download_url": f"http://testserver/api/v1/payloads/{payload.pk}/download/",
    }


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(
    ("path", "queries"), [("/api/v1/services/", 2), ("/api/v1/runs/", 2), ("/api/v1/payloads/", 2)]
)
def test_lists_cost_the_same_for_one_and_for_three(client, path, queries, number, django_assert_num_queries):
    for _index in range(number):
        make_payload(make_run(started_by=make_user(), store_pull=True))

    with django_assert_num_queries(queries):
        response = client.get(path)

    assert len(response.json()["results"]) == number


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(
    ("path", "queries"), [("/api/v1/runs/", 3), ("/api/v1/runs/?service=orders", 4), ("/api/v1/payloads/", 3)]
)
def test_lists_cost_one_query_more_where_services_are_looked_up(
    service, path, queries, number, django_assert_num_queries
):
    client = client_of(make_token(services=[service])[1])
    for _index in range(number):
        make_payload(make_run(service, store_pull=True))
    client.get(path)

    # Token, the services that it is for, the one that is asked for, and the list: however many there are.
    with django_assert_num_queries(queries):
        response = client.get(path)

    assert len(response.json()["results"]) == number


def test_runs_of_a_time_are_listed_and_paged_by_their_start(client, service):
    now = timezone.now()
    runs = [make_run(service, started_at=now - timedelta(hours=hours)) for hours in (2, 1, 3, 1)]
    query = {"started_after": (now - timedelta(days=1)).isoformat(), "limit": 1}

    pages, url = [], "/api/v1/runs/"
    while url:
        response = client.get(url, query)
        pages += ids(response)
        url, query = response.json()["next"], None

    assert pages == [runs[3].pk, runs[1].pk, runs[0].pk, runs[2].pk]


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
def test_mistyped_parameter_is_named_with_those_that_are_known(client, service, path, known):
    make_run(service)

    response = client.get(f"/api/v1/{path}?statsu=failed")

    assert fault(response, "statsu") == f"Unknown; known are: {known}."
    assert client.get(f"/api/v1/{path}?limit=5&cursor=&format=json").status_code == 200


def test_runs_are_filtered_by_time_from_then_until_before_then(client, service):
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
    ("path", "field", "wanted"),
    [
        ("/api/v1/runs/?status=broken", "status", "known are: queued, running, succeeded, failed"),
        ("/api/v1/runs/?status=failed,broken", "status", "“broken”"),
        ("/api/v1/runs/?trigger=sun", "trigger", "known are: manual, schedule, api, retry"),
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
def test_parameter_that_is_no_use_is_400_and_says_what_would_be(client, path, field, wanted):
    assert wanted in fault(client.get(path), field)


@pytest.mark.parametrize("number", ["0", "99999999999999999999999", "9" * 5000, "-1", "abc", "1.0"])
@pytest.mark.parametrize("rest", ["", "log/", "log.txt", "log.ndjson"])
def test_run_that_cannot_be_is_404(client, number, rest):
    response = client.get(f"/api/v1/runs/{number}/{rest}")

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("key", [">0", "<99999999999999999999999", ">abc", "?1", ">", "", ">1\x00", "\xff"])
@pytest.mark.parametrize("path", ["/api/v1/services/", "/api/v1/runs/", "/api/v1/payloads/"])
def test_cursor_that_somebody_made_up_is_400(client, path, key):
    make_payload()
    cursor = base64.urlsafe_b64encode(key.encode("latin-1")).decode() or "="

    response = client.get(path, {"cursor": cursor})

    assert "unchanged" in fault(response, "cursor")


def test_cursor_says_nothing_of_what_is_not_yours(service):
    hidden = make_service(slug="zzz")
    client = client_of(make_token(services=[service])[1])
    cursor = Cursor(str(hidden.pk), is_backward=True).encode()

    response = client.get("/api/v1/services/", {"cursor": cursor})

    assert "unchanged" in fault(response, "cursor")


@pytest.mark.parametrize("path", ["/api/v1/services/", "/api/v1/runs/", "/api/v1/payloads/"])
def test_pages_lead_through_everything_and_back(client, path):
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
    seen = [item[key] for page in forth for item in page["results"]]
    assert len(set(seen)) == 5
    assert [item[key] for page in reversed(back) for item in page["results"]] == seen
    assert seen == [item[key] for item in client.get(path).json()["results"]]


def test_page_of_payloads_begins_in_the_index_however_many_are_of_one_moment(client):
    run, moment = make_run(store_pull=True), timezone.now()
    payloads = [make_payload(run, created_at=moment) for _index in range(3)]
    first = client.get("/api/v1/payloads/?limit=2").json()

    with CaptureQueriesContext(connection) as queries:
        second = client.get(first["next"])

    assert ids(second) == [str(min(payload.pk for payload in payloads))]
    plan = _plan(queries.captured_queries[-1]["sql"])
    assert "payload_latest" in plan
    assert "(created_at, id) < " in plan.replace("(created_at,id)<", "(created_at, id) < ")


def test_payloads_of_few_services_are_found_without_a_look_at_those_of_others(service):
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
    """How the database would run it if the table were too large to be read."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {'QUERY PLAN' if connection.vendor == 'sqlite' else ''} {query}")
        return str(cursor.fetchall())


def test_run_that_starts_while_paging_shifts_nothing(client, service):
    runs = [make_run(service).pk for _index in range(4)]
    first = client.get("/api/v1/runs/?limit=2").json()

    make_run(service)

    second = client.get(first["next"]).json()
    assert [run["id"] for page in (first, second) for run in page["results"]] == runs[::-1]


def test_payloads_of_a_run_are_in_the_order_in_which_they_arose(client):
    run = make_run(store_pull=True)
    payloads = [make_payload(run, created_at=timezone.now() + timedelta(seconds=index)) for index in range(3)]
    make_payload()

    assert ids(client.get(f"/api/v1/payloads/?run={run.pk}")) == [str(payload.pk) for payload in payloads]


def test_payload_status_is_told_by_the_clock_of_the_database(client):
    run = make_run(store_pull=True)
    past, now = timezone.now() - timedelta(seconds=1), timezone.now()
    cases = {
        "stored": make_payload(run, expires_at=None),
        "expired": make_payload(run, expires_at=past),
        "deleted": make_payload(run, status=Payload.Status.DELETED, deleted_at=now, expires_at=past),
        "lost": make_payload(run, status=Payload.Status.LOST),
    }
    deleting = make_payload(run, status=Payload.Status.DELETING, expires_at=past)

    told = {name: client.get(f"/api/v1/payloads/{row.pk}/").json()["status"] for name, row in cases.items()}

    assert told == {name: name for name in cases}
    assert client.get(f"/api/v1/payloads/{deleting.pk}/").json()["status"] == "expired"


def test_payload_that_is_still_being_stored_is_not_there(client):
    payload = make_payload(status=Payload.Status.PENDING, size=None, sha256="")

    assert client.get(f"/api/v1/payloads/{payload.pk}/").status_code == 404
    assert client.get("/api/v1/payloads/").json()["results"] == []
