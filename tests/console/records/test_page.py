"""Records page: list, filters, pages, visibility, and the history of one key."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.console.records import query as record_query
from apps.console.records import record_list
from apps.runs.models import Record, Run, Step
from tests.factories import make_payload, make_record, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
Outcome = Record.Outcome


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


def keys(client: Client, **query: object) -> list[str]:
    return [row.record.key for row in client.get("/admin/records/", query).context["rows"]]


def page(client: Client, **query: object) -> str:
    return client.get("/admin/records/", query).content.decode()


def make_run_ago(ago: timedelta, **fields: object) -> Run:
    finished = timezone.now() - ago
    return make_run(started_at=finished, finished_at=finished, **fields)


def test_list_shows_what_became_of_each_record(staff: Client) -> None:
    run = make_run(make_service(name="Orders"))
    make_record(
        run, key="10045", outcome=Outcome.REFUSED, page=3, batch=7, sequence=21, message="unknown sku"
    )
    later = make_run(run.service)
    make_record(later, key="10045")

    row = page(staff, outcome="refused").split("<tbody>")[1]

    for text in ('href="/admin/records/?key=10045"', ">Refused<", ">Orders<", "push · page 3, batch 7"):
        assert text in row
    assert f'href="/admin/runs/run/{run.pk}/log/?line=21#L21"' in row
    assert "unknown sku" in row
    assert f'resolved by <a href="/admin/runs/run/{later.pk}/log/">run {later.pk}</a>' in row


@pytest.mark.parametrize(
    ("order", "expected"), [("", "d x a b ü&.= c z"), ("&order=oldest", "z c a b ü&.= d x")]
)
@pytest.mark.parametrize("service", ["", "&service=orders"])
def test_list_is_in_order_and_pages_without_gaps(
    staff: Client, monkeypatch: pytest.MonkeyPatch, order: str, expected: str, service: str
) -> None:
    monkeypatch.setattr(record_list, "PAGE_SIZE", 2)
    orders = make_service(slug="orders")
    first, second = make_run(orders), make_run(orders)
    for sequence, page_number, keys in ((3, 1, ["b", "a", "ü&.="]), (3, 2, ["x", "d"]), (2, 9, ["c"])):
        for key in keys:
            make_record(second, sequence=sequence, page=page_number, key=key)
    make_record(first, sequence=1, key="z")

    seen: list[str] = []
    query = f"?period=any{order}{service}"
    while query:
        response = staff.get(f"/admin/records/{query}")
        seen += [row.record.key for row in response.context["rows"]]
        query = response.context["older"]

    assert seen == expected.split()


def test_filters_narrow_the_list(staff: Client) -> None:
    orders, prices = make_service(slug="orders"), make_service(slug="prices")
    run, other = make_run(orders), make_run(prices)
    make_record(run, key="100")
    make_record(run, key="1001", outcome=Outcome.REFUSED)
    make_record(other, key="1002", outcome=Outcome.DROPPED, step=Step.SCRIPT)
    make_record(other, key="100%_\\*")

    assert keys(staff, key="100") == ["100"]
    assert keys(staff, key=" 100 ") == ["100"]
    assert set(keys(staff, key="100*")) == {"100", "1001", "1002", "100%_\\*"}
    assert keys(staff, key="100%*") == ["100%_\\*"]
    assert keys(staff, key="%") == keys(staff, key="\x00*") == []
    assert keys(staff, service="prices", outcome="dropped") == ["1002"]
    assert set(keys(staff, run=run.pk)) == {"100", "1001"}
    assert keys(staff, run=run.pk, outcome="refused") == ["1001"]


@pytest.mark.parametrize("max_runs", [0, 5000])
def test_period_is_5_days_unless_a_run_or_a_key_is_given(
    staff: Client, monkeypatch: pytest.MonkeyPatch, max_runs: int
) -> None:
    monkeypatch.setattr(record_query, "MAX_RUNS", max_runs)
    day = timedelta(days=1)
    old = make_record(make_run_ago(day * 6), key="old")
    make_record(make_run_ago(day * 4), key="new")
    # A run that goes on for days belongs to the period, as far as its records do.
    running = make_run(started_at=timezone.now() - day * 9, status=Run.Status.RUNNING)
    make_record(running, key="late", recorded_at=timezone.now())
    make_record(running, key="early", recorded_at=timezone.now() - day * 8)

    assert set(keys(staff)) == {"new", "late"}
    assert set(keys(staff, period="1h")) == {"late"}
    assert set(keys(staff, period="15d")) == {"old", "new", "late", "early"}
    assert keys(staff, run=old.run_id) == keys(staff, key="old") == ["old"]
    assert keys(staff, key="old", period="5d") == keys(staff, key="ol*", period="5d") == []


def test_period_without_runs_is_empty(staff: Client) -> None:
    make_record(make_run_ago(timedelta(days=6)))

    assert "No record was recorded in the last 5 days." in page(staff)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"service": "nope"}, "Service “nope” not found."),
        ({"run": "order"}, "“order” is not a run number."),
        ({"run": "9" * 30}, f"Run {'9' * 30} not found."),
        ({"outcome": "lost"}, "Unknown outcome “lost”. Choose one of: refused, failed, pushed,"),
        ({"period": "9y"}, "Unknown period “9y”. Choose one of: 1h, 24h, 5d, 15d, any."),
        ({"before": "1.x"}, "The address of the page is incomplete."),
    ],
)
def test_invalid_filter_has_a_message_and_no_rows(staff: Client, query: dict, message: str) -> None:
    make_record()

    assert message in page(staff, **query)
    assert keys(staff, **query) == []


def test_hidden_service_is_not_found_by_any_filter(client: Client) -> None:
    hidden = make_run(make_service(slug="payroll", groups=[Group.objects.create(name="Finance")]))
    make_record(hidden, key="concealed")
    make_record(key="open")
    client.force_login(make_user(permissions=["services.view_service"]))

    assert keys(client) == ["open"]
    assert keys(client, key="concealed") == keys(client, key="c*") == []
    assert "Service “payroll” not found." in page(client, service="payroll")
    assert f"Run {hidden.pk} not found." in page(client, run=hidden.pk)
    assert "concealed" not in client.get("/admin/records/csv/").getvalue().decode()


def test_page_requires_the_permission_to_view_services(client: Client) -> None:
    client.force_login(make_user(permissions=["runs.view_run"]))

    assert client.get("/admin/records/").status_code == 403
    assert client.get("/admin/records/csv/").status_code == 403
    assert "/admin/records/" not in client.get("/admin/").content.decode()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("query", [{}, {"key": "10045"}, {"key": "1*"}])
def test_number_of_queries_is_constant(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, count: int, query: dict
) -> None:
    for _number in range(count):
        run = make_run(store_pull=True)
        make_payload(run, name="pull-page-00001.json")
        make_record(run, key="10045", outcome=Outcome.REFUSED)
    client.force_login(
        make_user(permissions=["services.view_service", "runs.start_run", "runs.download_payload"])
    )

    # Session and user, services, runs of the period (2), records, runs, payloads.
    with django_assert_num_queries(8 - (2 if query.get("key") == "10045" else 0)):
        response = client.get("/admin/records/", query)

    assert len(response.context["rows"]) == count
    assert "pull-page-00001.json" in response.content.decode()


def test_history_of_a_key_spans_services_and_runs(staff: Client) -> None:
    orders = make_service(name="Orders")
    first = make_run(orders, store_pull=True)
    payload = make_payload(first, name="pull-page-00003.json")
    make_record(first, key="a b", outcome=Outcome.REFUSED, page=3, batch=2, message="422 unknown sku")
    make_record(make_run(make_service(name="Prices")), key="a b", outcome=Outcome.DROPPED, page=1, batch=0)
    resolving = make_run(orders)
    make_record(resolving, key="a b", page=1, batch=1)

    html = page(staff, key="a b")
    entries = html.split('<li class="history-entry">')[1:]

    assert "<h1>Record a b</h1>" in html
    for entry, text in zip(
        entries,
        (
            "Pushed in batch 1 of page 1",
            "Pulled on page 1, dropped by the script",
            "Refused in batch 2 of page 3",
        ),
        strict=True,
    ):
        assert f"<strong>{text}</strong>" in entry
    assert "422 unknown sku" in entries[2]
    assert f"{payload.pk}/preview/?record=a+b#record" in entries[2]
    assert f">run {resolving.pk}</a>" in entries[2]
    assert "/admin/records/resync/" not in entries[2]
    assert "Resync" in entries[1]


def test_skipped_record_names_the_reason(staff: Client) -> None:
    for message in ("", "Already accepted by run 5"):
        make_record(key="7", outcome=Outcome.SKIPPED, page=3, batch=0, message=message)

    accepted, unchanged = page(staff, key="7").split('<li class="history-entry">')[1:]

    assert "<strong>Pulled on page 3, skipped</strong>" in accepted
    assert '<p class="history-reason">Already accepted by run 5</p>' in accepted
    assert "<strong>Pulled on page 3, skipped: unchanged</strong>" in unchanged


def test_unknown_key_has_an_empty_state(staff: Client) -> None:
    assert "No record with the key “&lt;b&gt;” was found at any time." in page(staff, key="<b>")


def test_expired_payloads_are_not_linked(staff: Client) -> None:
    run = make_run_ago(timedelta(hours=25), store_pull=True)
    make_payload(run, name="pull-page-00001.json")
    make_record(run, key="10045")

    assert "pull-page-00001.json" not in page(staff, key="10045")
