"""List of records: fields, filters, pages, visibility and query plans."""

from datetime import timedelta
from itertools import count

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.api.queries.pagination import Cursor
from apps.runs.models import Record, Run, Step
from tests.api.conftest import client_of
from tests.factories import make_payload, make_run, make_service, make_token

pytestmark = pytest.mark.django_db
URL = "/api/v1/records/"


def make_records(run, **outcomes):
    """Records by key, one line each; `_5` is the key 5."""
    Record.objects.bulk_create(
        Record(
            run=run,
            key=name.removeprefix("_"),
            outcome=Record.Outcome[outcome.upper()],
            recorded_at=run.started_at,
            sequence=sequence,
            page=1,
            batch=0,
            step=Step.PUSH,
            message="unknown sku" if outcome == "refused" else "",
        )
        for sequence, (name, outcome) in enumerate(outcomes.items(), 1)
    )
    Run.objects.filter(pk=run.pk).update(has_records=True)


def listed(response):
    assert response.status_code == 200, response.json()
    return [(record["run"], record["key"]) for record in response.json()["results"]]


def test_record_has_the_fields_of_the_contract(client, service):
    run, later = make_run(service, store_pull=True), make_run(service)
    make_records(run, a="pushed", _10045="refused")
    make_records(later, _10045="pushed")
    payload = make_payload(run, name="pull-page-00001.json")
    make_payload(run, name="pull-page-00002.json")

    newest, document = client.get(URL, {"key": "10045"}).json()["results"]

    [file] = document.pop("payloads")
    assert document == {
        "key": "10045",
        "service": "orders",
        "run": run.pk,
        "outcome": "refused",
        "step": "push",
        "message": "unknown sku",
        "sequence": 2,
        "recorded_at": f"{run.started_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "resolved_by": later.pk,
        "log_url": f"http://testserver/api/v1/runs/{run.pk}/log/?after=1&limit=1",
    }
    assert (file["id"], file["status"]) == (str(payload.pk), "stored")
    assert (newest["outcome"], newest["resolved_by"], newest["payloads"]) == ("pushed", None, [])


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(
    ("query", "queries"), [("", 5), ("?key=*", 4), ("?outcome=pushed&recorded_after=2000-01-01", 5)]
)
def test_list_takes_the_same_queries_for_1_and_3_rows(
    client, query, queries, number, django_assert_num_queries
):
    for _index in range(number):
        make_records(make_run(), a="pushed")

    # The token, the runs that have records, the records, their runs, and the payloads.
    with django_assert_num_queries(queries):
        response = client.get(URL + query)

    assert len(response.json()["results"]) == number


def test_records_are_filtered(client, service):
    moment = timezone.now().replace(microsecond=0)
    old = make_run(service, started_at=moment - timedelta(days=3), finished_at=moment - timedelta(days=3))
    run, other = make_run(service, started_at=moment), make_run(started_at=moment)
    make_records(old, _10="refused")
    make_records(
        run, **{"_10": "pushed", "_100": "refused", "_1%": "dropped", "a␀b": "failed", "x*": "skipped"}
    )
    make_records(other, _10="pulled")
    time = f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    def keys(**query):
        return listed(client.get(URL, query))

    assert keys(key="10") == [(other.pk, "10"), (run.pk, "10"), (old.pk, "10")]
    assert keys(key="10*", service="orders") == [(run.pk, "100"), (run.pk, "10"), (old.pk, "10")]
    assert keys(key="1%") == [(run.pk, "1%")]
    assert keys(key="a\0b") == keys(key="a\0*") == keys(key="a␀b") == [(run.pk, "a␀b")]
    assert keys(key="x*") == [(run.pk, "x*")]
    assert keys(key="*0") == []
    assert keys(run=old.pk) == [(old.pk, "10")]
    assert keys(outcome="refused") == [(run.pk, "100"), (old.pk, "10")]
    assert keys(outcome="refused,failed", service="orders", run=run.pk) == [(run.pk, "a␀b"), (run.pk, "100")]
    assert keys(recorded_after=time, service=other.service.slug) == [(other.pk, "10")]
    assert keys(recorded_before=time) == [(old.pk, "10")]
    assert keys(service="nowhere") == keys(run=0) == keys(outcome="skipped", key="10") == []


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("kee=1", "kee", "key, service, run, outcome, recorded_after, recorded_before, cursor, limit."),
        ("outcome=lost", "outcome", "Allowed: refused, failed, pushed, dropped, skipped, pulled."),
        ("run=x", "run", "number of a run"),
        ("recorded_after=yesterday", "recorded_after", "ISO 8601"),
        ("limit=0", "limit", "from 1 to 500"),
        *((f"cursor={Cursor(key, is_backward=False).encode()}", "cursor", "unchanged")
          for key in ("", "1", "1.2", "a.1.k", f"{2**63}.1.k", f"1.{2**31}.k", "1.-1.k", "1.1.\0")),
    ],
)  # fmt: skip
def test_invalid_parameter_is_400(client, query, field, message):
    response = client.get(f"{URL}?{query}")

    assert response.status_code == 400
    assert message in " ".join(response.json()["errors"][field])


@pytest.mark.parametrize("query", ["", "key=*", "service=orders", "outcome=refused"])
def test_pages_lead_to_the_end_and_back(client, service, query):
    for _index in range(3):
        make_records(make_run(service), a="refused", b="refused", c="refused")
        make_run(service, has_records=True)
    Record.objects.update(sequence=1)
    everything = listed(client.get(f"{URL}?{query}"))

    page = client.get(f"{URL}?limit=2&{query}").json()
    forth = [page]
    while page["next"]:
        page = client.get(page["next"]).json()
        forth.append(page)
    back = [page]
    while page["previous"]:
        page = client.get(page["previous"]).json()
        back.append(page)

    found = [(record["run"], record["key"]) for page in forth for record in page["results"]]
    assert found == everything
    assert len(everything) == 9
    assert [page["results"] for page in reversed(back)] == [page["results"] for page in forth]


def test_token_sees_the_records_of_its_services_only(service):
    run, hidden = make_run(service), make_run()
    make_records(run, a="refused")
    make_records(hidden, a="pushed", b="pushed")
    client = client_of(make_token(services=[service])[1])

    for query in ("", "?key=a", "?key=*", "?outcome=refused,pushed"):
        assert listed(client.get(URL + query)) == [(run.pk, "a")]
    assert listed(client.get(f"{URL}?run={hidden.pk}")) == []
    assert listed(client.get(f"{URL}?service={hidden.service.slug}")) == []


@pytest.mark.postgresql
def test_page_is_an_index_range_among_many_records():
    """Plans with 400,000 records in 800 runs of 8 services; one of them is rare."""
    services = [make_service() for _index in range(8)]
    rare = services[0]
    numbers = count()
    runs = Run.objects.bulk_create(
        Run(service=rare if n in (3, 400) else services[1 + n % 7], trigger="manual", status="succeeded",
            started_at=timezone.now(), finished_at=timezone.now(), has_records=True)
        for n, _run in zip(numbers, range(800), strict=False)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO runs_record (run_id, recorded_at, sequence, page, batch, outcome, step, key, message)"
            " SELECT r.id, now(), n / 10, n / 100, 1, CASE WHEN n %% 250 = 7 THEN 1 ELSE 3 END, 4, n || '-' || r.id, ''"
            " FROM runs_run r, generate_series(1, 500) n WHERE r.id >= %s",
            [runs[0].pk],
        )
        cursor.execute("ANALYZE runs_record, runs_run")
    client = client_of(make_token()[1])
    limited = client_of(make_token(services=[rare])[1])

    for reader, query in (
        *((client, query) for query in ("", "?key=7-*", f"?service={rare.slug}", "?outcome=refused")),
        (client, f"?run={runs[5].pk}"),
        *((limited, query) for query in ("", "?outcome=refused", "?key=7-*")),
    ):
        with CaptureQueriesContext(connection) as queries:
            page = reader.get(URL + query).json()
            if page["next"]:
                reader.get(page["next"])
        for captured in queries.captured_queries:
            if "runs_record" in captured["sql"]:
                assert rows_read(captured["sql"]) < 6000, (query, captured["sql"])


def rows_read(query):
    """Rows that the scans of the table of records read."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}")
        [[[plan]]] = cursor.fetchall()
    return _rows_read(plan["Plan"])


def _rows_read(node):
    read = 0
    if node.get("Relation Name") == "runs_record":
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return read + sum(_rows_read(child) for child in node.get("Plans", ()))


@pytest.mark.postgresql
def test_page_is_an_index_range_within_one_line(client, service):
    """A file is pushed by one line, however many records it contains."""
    _earlier, run = (make_run(service, has_records=True) for _index in range(2))
    Record.objects.bulk_create(
        Record(run_id=run.pk - number % 2, key=str(number), sequence=1, page=number // 200, batch=0, outcome=3,
               step=4, recorded_at=timezone.now())
        for number in range(20_000)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE runs_record")

    with CaptureQueriesContext(connection) as queries:
        page = client.get(f"{URL}?run={run.pk}").json()
        client.get(page["next"])

    reads = [rows_read(query["sql"]) for query in queries if 'FROM "runs_record"' in query["sql"]]
    assert len(reads) == 2
    assert max(reads) <= 300
