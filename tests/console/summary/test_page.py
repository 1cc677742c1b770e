"""Summary page of a service: runs, filters, totals, chart, live rows."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.console.summary import run_list
from apps.console.summary.chart import compact, round_up
from apps.console.summary.daily_transactions import DayRange, daily_transactions
from apps.runs.models import Run
from apps.services.models import Service
from tests.factories import make_incident, make_run, make_service, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True, first_name="Ada"))
    return client


def numbers(client: Client, service: Service, **query: object) -> list[int]:
    response = client.get(reverse("admin:services_service_runs", args=[service.pk]), query)
    return [run.pk for run in response.context["page"].runs]


def page(client: Client, service: Service, **query: object) -> str:
    return client.get(reverse("admin:services_service_runs", args=[service.pk]), query).content.decode()


def make_run_ago(service: Service, ago: timedelta, **fields: object) -> Run:
    return make_run(service, started_at=timezone.now() - ago, **fields)


def test_summary_lists_runs_of_last_24_hours_newest_first(staff: Client) -> None:
    service = make_service()
    day = timedelta(hours=24)
    older = make_run_ago(service, day - timedelta(seconds=30))
    newer = make_run_ago(service, timedelta(hours=1))
    make_run_ago(service, day + timedelta(seconds=1))
    make_run_ago(make_service(), timedelta(hours=1))

    assert numbers(staff, service) == [newer.pk, older.pk]
    assert "2 runs started in the last 24 hours" in page(staff, service)


def test_older_running_run_is_listed_under_longer_periods(
    staff: Client,
) -> None:
    service = make_service()
    run = make_run_ago(service, timedelta(hours=24, seconds=1), status=Run.Status.RUNNING)

    assert numbers(staff, service) == []
    assert numbers(staff, service, period="7d") == [run.pk]
    assert numbers(staff, service, period="any", status="running") == [run.pk]


def test_queued_run_is_sorted_by_its_queue_time(staff: Client) -> None:
    service = make_service()
    started = make_run_ago(service, timedelta(minutes=5))
    queued = make_run(service, status=Run.Status.QUEUED)

    assert numbers(staff, service) == [queued.pk, started.pk]
    assert numbers(staff, service, status="queued") == [queued.pk]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"period": "9y"}, "Unknown period “9y”. Choose one of: 1h, 24h, 7d, 30d, any, custom."),
        ({"period": "custom", "from": "yesterday"}, "“yesterday” is not a time."),
        ({"status": "odd"}, "Unknown status “odd”. Choose one of: queued, running,"),
        ({"trigger": "odd"}, "Unknown trigger “odd”. Choose one of: manual, schedule, api, retry."),
        ({"warned": "odd"}, "Unknown warnings “odd”. Choose one of: 1."),
        ({"before": "x"}, "The address of the page is incomplete."),
    ],
)
def test_invalid_filter_has_a_message_and_no_runs(staff: Client, query: dict[str, str], message: str) -> None:
    service = make_service()
    make_run_ago(service, timedelta(hours=2))
    address = reverse("admin:services_service_runs_csv", args=[service.pk])

    assert message in page(staff, service, **query)
    assert numbers(staff, service, **query) == []
    assert len(staff.get(address, query).getvalue().decode().splitlines()) == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"days": "8"}, "Unknown number of days “8”. Choose one of: 7, 30, 90, custom."),
        ({"days": "custom", "first": "x"}, "Invalid days of the chart."),
        ({"days": "custom", "first": "2026-01-02", "last": "x"}, "Invalid days of the chart."),
        ({"days": "custom", "first": "2026-01-02", "last": "2026-01-01"}, "Invalid days of the chart."),
    ],
)
def test_invalid_days_of_the_chart_have_a_message(staff: Client, query: dict[str, str], message: str) -> None:
    service = make_service()
    run = make_run_ago(service, timedelta(hours=2))

    assert message in page(staff, service, **query)
    assert numbers(staff, service, **query) == [run.pk]


def test_remembered_period_that_no_longer_exists_is_ignored(staff: Client) -> None:
    service = make_service()
    run = make_run_ago(service, timedelta(hours=2))
    staff.cookies["synclog_summary_period"] = "9y"

    assert numbers(staff, service) == [run.pk]
    assert "Unknown period" not in page(staff, service)


def test_run_is_found_by_number_in_any_period(staff: Client) -> None:
    service = make_service()
    old = make_run_ago(service, timedelta(days=90))
    other = make_run_ago(make_service(), timedelta(hours=1))

    assert numbers(staff, service, q=str(old.pk)) == [old.pk]
    assert f"Run {other.pk} is not a run of this service." in page(staff, service, q=str(other.pk))
    assert "Not a run number." in page(staff, service, q="order 10045")
    assert "Not a run number." in page(staff, service, q="9" * 40)


@pytest.mark.parametrize("order", ["", "oldest"])
def test_pages_have_no_gaps_or_duplicates(staff: Client, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr(run_list, "PAGE_SIZE", 3)
    service = make_service()
    same = timezone.now() - timedelta(hours=3)
    runs = [make_run(service, started_at=same) for _number in range(4)]
    runs += [make_run_ago(service, timedelta(minutes=minutes)) for minutes in (50, 40, 30, 20)]
    now = timezone.now()
    runs.append(make_run(service, status=Run.Status.QUEUED, queued_at=now - timedelta(minutes=35)))

    seen: list[int] = []
    query: dict[str, object] = {"order": order}
    while True:
        found = staff.get(reverse("admin:services_service_runs", args=[service.pk]), query).context["page"]
        seen += [run.pk for run in found.runs]
        if found.next_before is None:
            break
        query = {"before": found.next_before, "order": order}

    expected = sorted(runs, key=lambda run: (run.started_at or run.queued_at, run.pk), reverse=not order)
    assert seen == [run.pk for run in expected]


def test_limited_count_has_a_plus_sign(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.console.summary.run_list.MAX_COUNT", 2)
    monkeypatch.setattr("apps.console.summary.page.MAX_COUNT", 2)
    service = make_service()
    for _number in range(3):
        make_run(service)

    assert "2+ runs started in the last 24 hours" in page(staff, service)


def test_row_shows_user_and_counts(staff: Client) -> None:
    service = make_service()
    ada = make_user(first_name="Ada")
    make_run(service, started_by=ada, pulled_count=20_000, pushed_count=19_877, warning_count=16)

    row = page(staff, service).split("<tbody>")[-1]

    for text in ("Manual · Ada", "20,000", "19,877", ">16</td>", "More details", "Run again", "Copy link"):
        assert text in row
    assert ">Cancel</button>" not in row


def test_run_of_a_reported_service_cannot_be_run_again(staff: Client) -> None:
    service = make_service(kind="reported", source_connection=None, destination_connection=None)
    run = make_run(service)

    for address in (f"services/service/{service.pk}/runs/", "runs/run/", f"runs/run/{run.pk}/log/"):
        text = staff.get(f"/admin/{address}").content.decode()
        assert (f"/runs/run/{run.pk}/" in text, "Run again" in text) == (True, False)


def test_row_and_log_tell_automatic_retry_from_rerun(staff: Client) -> None:
    service = make_service()
    failed = make_run(service, status=Run.Status.FAILED)
    repeat = {"trigger": Run.Trigger.RETRY, "retry_of": failed}
    retry = make_run(service, due_at=timezone.now(), **repeat)
    rerun = make_run(service, started_by=make_user(first_name="Eve"), **repeat)

    text = page(staff, service)
    logs = [
        staff.get(reverse("admin:runs_run_log", args=[run.pk])).content.decode() for run in (retry, rerun)
    ]

    assert ("<td>Automatic retry</td>" in text, "<td>Rerun · Eve</td>" in text) == (True, True)
    assert ["Automatic retry of <a" in log for log in logs] == [True, False]
    assert ["Rerun of <a" in log for log in logs] == [False, True]


def test_menu_of_open_run_offers_cancel(staff: Client) -> None:
    run = make_run(status=Run.Status.RUNNING)

    row = page(staff, run.service).split("<tbody>")[-1]

    assert f'formaction="/admin/runs/run/{run.pk}/cancel/"' in row


def test_summary_without_runs_shows_message(staff: Client) -> None:
    service = make_service()

    assert "No run started in the last 24 hours." in page(staff, service)
    assert "No matching run started in the last hour." in page(staff, service, period="1h", status="failed")


@pytest.mark.parametrize("count", [1, 3])
def test_summary_takes_a_constant_query_count(
    staff: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    service = make_service()
    for _number in range(count):
        make_run(service, started_by=make_user())

    # Session, user, service, problems, started runs, runs that never started, both counted, days, incidents.
    with django_assert_num_queries(10):
        page(staff, service)


def test_chart_has_a_sum_for_each_day() -> None:
    service = make_service()
    now = timezone.now().replace(hour=12)
    make_run(service, started_at=now, pulled_count=7, pushed_count=6)
    make_run(service, started_at=now - timedelta(hours=1), pulled_count=3, status=Run.Status.FAILED)
    make_run(service, started_at=now - timedelta(days=29), pulled_count=1)
    make_run(service, started_at=now - timedelta(days=30), pulled_count=99)

    days = daily_transactions(service, DayRange.from_query({}, now)).days

    assert len(days) == 30
    today, first = days[-1], days[0]
    assert (today.pulled_count, today.pushed_count, today.run_count, today.failed_count) == (10, 6, 2, 1)
    assert first.pulled_count == 1
    assert sum(day.pulled_count for day in days) == 11


def test_chart_has_a_text_alternative_and_no_style_attribute(staff: Client) -> None:
    run = make_run(pulled_count=1234, status=Run.Status.FAILED)

    text = page(staff, run.service)

    assert 'role="img" aria-label="Daily transactions of 30 days: 1,234 records pulled' in text
    assert "Show as a table" in text
    assert " style=" not in text


@pytest.mark.parametrize(
    ("number", "top"), [(0, 10), (10, 10), (11, 20), (21, 50), (99, 100), (101, 200), (36_000, 50_000)]
)
def test_chart_scale_ends_in_a_round_number(number: int, top: int) -> None:
    assert round_up(number) == top


def test_chart_scale_labels_are_compact() -> None:
    assert [compact(number) for number in (0, 500, 2500, 5_000_000)] == ["0", "500", "2.5 k", "5 M"]


def test_runs_are_filtered_by_trigger_warnings_and_time_range(staff: Client) -> None:
    service = make_service()
    now = timezone.now()
    by_api = make_run_ago(service, timedelta(hours=1), trigger=Run.Trigger.API)
    warned = make_run_ago(service, timedelta(hours=2), warning_count=3)
    old = make_run_ago(service, timedelta(days=9))

    assert numbers(staff, service, trigger="api") == [by_api.pk]
    assert numbers(staff, service, warned="1") == [warned.pk]
    ends = {
        "from": f"{now - timedelta(days=10):%Y-%m-%dT%H:%M}",
        "to": f"{now - timedelta(days=8):%Y-%m-%dT%H:%M}",
    }
    assert numbers(staff, service, period="custom", **ends) == [old.pk]
    assert numbers(staff, service, period="custom") == [by_api.pk, warned.pk, old.pk]


def test_totals_cover_the_period(staff: Client) -> None:
    service = make_service()
    make_run_ago(service, timedelta(hours=1), pulled_count=1000, pushed_count=900, warning_count=1)
    make_run_ago(service, timedelta(hours=2), pulled_count=234, status=Run.Status.FAILED, error_count=2)
    make_run_ago(service, timedelta(days=2), pulled_count=5000)
    make_run(service, status=Run.Status.QUEUED)

    response = staff.get(reverse("admin:services_service_runs", args=[service.pk]))

    totals = response.context["page"].totals
    assert (totals.count, totals.failed, totals.pulled, totals.pushed) == (3, 1, 1234, 900)
    assert (totals.warnings, totals.errors) == (1, 2)


def test_chart_days_can_be_selected(staff: Client) -> None:
    service = make_service()
    day = timezone.now() - timedelta(days=200)
    make_run(service, started_at=day, pulled_count=41)
    url = reverse("admin:services_service_runs", args=[service.pk])

    assert [len(staff.get(url, {"days": days}).context["days"]) for days in ("7", "30", "90", "x")] == [
        7,
        30,
        90,
        30,
    ]
    custom = {"days": "custom", "first": f"{day:%Y-%m-%d}", "last": f"{day + timedelta(days=1):%Y-%m-%d}"}
    context = staff.get(url, custom).context
    assert [day.pulled_count for day in context["days"]] == [0, 41]
    assert len(staff.get(url, custom | {"first": "1999-01-01"}).context["days"]) == 366
    # The period of the list is independent of the chart's days.
    assert "days=custom" in context["links"].to(period="7d")


def test_chart_beyond_run_limit_shows_a_note(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.console.summary.daily_transactions.MAX_AGGREGATED", 3)
    service = make_service()
    for minutes in range(3):
        make_run_ago(service, timedelta(minutes=minutes), pulled_count=1)
    assert "Only the newest" not in page(staff, service)

    make_run_ago(service, timedelta(days=3), pulled_count=1)
    assert "Only the newest" in page(staff, service)


def test_feed_returns_requested_rows_and_poll_interval(staff: Client) -> None:
    service = make_service()
    running = make_run(service, status=Run.Status.RUNNING, pulled_count=7)
    ended = make_run(service)
    other = make_run(status=Run.Status.RUNNING)
    url = reverse("admin:services_service_runs_feed", args=[service.pk])

    response = staff.get(url, {"run": [running.pk, ended.pk, other.pk, "x", "9" * 40]}).json()
    assert sorted(response["rows"]) == sorted([str(running.pk), str(ended.pk)])
    assert response["poll_after"] == 5
    assert response["rows"][str(running.pk)].startswith(f'<tr data-run="{running.pk}" data-open>')

    assert staff.get(url, {"run": ended.pk}).json()["poll_after"] is None


def test_feed_requires_permission(client: Client) -> None:
    run = make_run(status=Run.Status.RUNNING)
    client.force_login(make_user())

    response = client.get(reverse("admin:services_service_runs_feed", args=[run.service_id]), {"run": run.pk})

    assert response.status_code == 403


def test_waiting_retry_shows_attempt_and_due_time(staff: Client) -> None:
    service = make_service()
    now = timezone.now()
    make_run(
        service,
        status=Run.Status.QUEUED,
        trigger=Run.Trigger.RETRY,
        attempt=2,
        due_at=now + timedelta(minutes=5),
    )

    row = page(staff, service).split("<tr data-run")[1]

    assert "Attempt 2" in row
    assert '<span class="muted">due <time' in row


def test_counts_lead_to_the_records_of_a_run(staff: Client) -> None:
    service = make_service(slug="orders")
    run = make_run(service, pulled_count=25, pushed_count=24, refused_count=1, has_records=True)
    untracked = make_run(service, pulled_count=31, pushed_count=31)

    rows = page(staff, service).split("<tbody>")[-1]
    log = staff.get(reverse("admin:runs_run_log", args=[run.pk])).content.decode()
    listed = staff.get(reverse("admin:runs_run_changelist")).content.decode()

    for html in (rows, log, listed):
        for query, text in (("", "25"), ("&outcome=pushed", "24"), ("&outcome=refused", "1")):
            assert f'href="/admin/records/?run={run.pk}{query}">{text}' in html.replace("&amp;", "&")
    assert f"run={untracked.pk}" not in rows
    assert "Pulled and pushed differ" in page(staff, service)
    assert "Resync all refused records" in log


def test_summary_shows_open_incidents_to_those_who_may_see_them(staff: Client) -> None:
    service, now = make_service(), timezone.now()
    incident = make_incident(service, detail="HTTP 503")
    make_incident(service, kind="lost", closed_at=now)
    make_incident(make_service(), kind="late")
    reader = Client()
    reader.force_login(make_user(permissions=["services.view_service", "runs.view_run"]))

    texts = [page(client, service) for client in (staff, reader)]

    assert f'<a href="/admin/alerts/incident/{incident.pk}/change/">Run failed</a>' in texts[0]
    assert ["Incident open since" in text for text in texts] == [True, False]
    assert texts[0].count("/admin/alerts/incident/") == 2  # The sidebar has the list.
