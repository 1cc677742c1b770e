"""Server time of the pages of the console, from request to response, in this process."""

import os
import re
import sys
import time
from collections.abc import Callable
from functools import partial

import requests
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.benchmarks.rows import insert_runs, make_long_run, make_superuser
from tests.forms import form_data_of
from tests.systems import service_between, systems

ROUNDS = 30
_CURSOR = re.compile(r"^DECLARE .* CURSOR [A-Z ]*FOR ")
SERVICES = 95
# Runs of a year. Half of them belong to one service, which runs every six seconds, the others every ten minutes.
RUNS = int(os.environ.get("ROWS") or 10_000_000)
SECONDS_BETWEEN_RUNS = 365 * 24 * 3600 / RUNS


@benchmark("log_page_1m_ms", "ms")
def log_page() -> Figure:
    """The latest lines of a run of 1,000,000 lines, against those of a run of 1,000."""
    client = superuser_client()
    pages = [reverse("admin:runs_run_log", args=[make_long_run(lines).pk]) for lines in (1_000_000, 1_000)]
    long, short = (partial(_milliseconds, client, page) for page in pages)
    return compare(long, short, rounds=ROUNDS)


@benchmark("services_list_500_ms", "ms", also={"home_500_services_ms": "ms"})
def services_list() -> dict[str, Figure]:
    """A page of the list of 500 services with 200 runs each, and the home page, each against its raw SQL."""
    client = superuser_client()
    connections = [factories.make_connection() for _number in range(20)]
    for number in range(500):
        factories.make_service(
            source_connection=connections[number % 20],
            destination_connection=connections[number % 19],
            schedule="*/15 * * * *",
        )
    insert_runs(100_000, services=500, seconds_apart=0.86)
    return {
        "services_list_500_ms": against_raw_sql(client, reverse("admin:services_service_changelist")),
        "home_500_services_ms": against_raw_sql(client, reverse("admin:index")),
    }


@benchmark("workbench_page_ms", "ms", also={"preview_ms": "ms"})
def workbench() -> dict[str, Figure]:
    """The settings page of a service against its raw SQL; the preview of 100 records against the request alone."""
    client = superuser_client()
    with systems([{"id": number, "state": "open"} for number in range(100)]) as world:
        service = service_between(world, source_options={"path": "/orders?page=1&size=100"})
        page = reverse("admin:services_service_change", args=[service.pk])
        url = reverse("admin:services_service_preview", query={"step": "source", "service": service.pk})
        data = form_data_of(service)

        def preview() -> float:
            before = time.perf_counter()
            html = client.post(url, data).content
            assert b"100 records" in html
            return (time.perf_counter() - before) * 1000

        def request() -> float:
            before = time.perf_counter()
            requests.get(f"{world.url}/orders?page=1&size=100", timeout=10).raise_for_status()
            return (time.perf_counter() - before) * 1000

        preview()
        return {
            "workbench_page_ms": against_raw_sql(client, page),
            "preview_ms": compare(preview, request, rounds=ROUNDS),
        }


@benchmark("summary_10m_runs_ms", "ms", databases=["postgresql"], also={"summary_busiest_service_ms": "ms"})
def summary() -> dict[str, Figure]:
    """The summaries of an average and of the busiest service among RUNS runs, each against the raw SQL of the page."""
    client = superuser_client()
    services = [factories.make_service() for _number in range(SERVICES)]
    before = time.perf_counter()
    insert_runs(RUNS, services=SERVICES, seconds_apart=SECONDS_BETWEEN_RUNS, first_has_half=True)
    print(f"{RUNS:,} runs were inserted in {time.perf_counter() - before:.0f} s", file=sys.stderr)
    average, busiest = (
        against_raw_sql(client, reverse("admin:services_service_runs", args=[service.pk]))
        for service in (services[SERVICES // 2], services[0])
    )
    return {"summary_10m_runs_ms": average, "summary_busiest_service_ms": busiest}


def superuser_client() -> Client:
    """A client with a superuser. Collects the static files, because pages look up their hashed names."""
    call_command("collectstatic", interactive=False, verbosity=0)
    client = Client(SERVER_NAME="localhost")
    client.force_login(make_superuser())
    return client


def _milliseconds(client: Client, page: str) -> float:
    before = time.perf_counter()
    response = client.get(page)
    milliseconds = (time.perf_counter() - before) * 1000
    assert response.status_code == 200
    return milliseconds


def against_raw_sql(client: Client, page: str) -> Figure:
    """Time of a page, against its SQL statements alone."""
    _milliseconds(client, page)
    with CaptureQueriesContext(connection) as queries:
        _milliseconds(client, page)
    statements = [
        # psycopg's server-side cursors have names that cannot be used twice.
        _CURSOR.sub("", query["sql"])
        for query in queries.captured_queries
    ]
    print(f"{page} takes {len(statements)} queries", file=sys.stderr)
    return compare(partial(_milliseconds, client, page), _sender(statements), rounds=ROUNDS)


def _sender(statements: list[str]) -> Callable[[], float]:
    def send() -> float:
        before = time.perf_counter()
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                if cursor.description is not None:
                    cursor.fetchall()
        return (time.perf_counter() - before) * 1000

    return send
