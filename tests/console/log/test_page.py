"""Log page of a run: lines, filters, live feed, payloads, downloads, cancelling."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.console.log import window as log_window
from apps.runs.models import Level, LogEntry, Payload, Run, Step
from tests.factories import make_log_entries, make_payload, make_run, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user("ada", is_superuser=True))
    return client


@pytest.fixture
def running() -> Run:
    return make_run(status=Run.Status.RUNNING)


def log(client: Client, run: Run, **query: object) -> str:
    return client.get(f"/admin/runs/run/{run.pk}/log/", query).content.decode()


def feed(client: Client, run: Run, **query: object) -> dict:
    return client.get(f"/admin/runs/run/{run.pk}/log/feed/", query).json()


def shown(html: str) -> list[int]:
    return [int(piece.split('"')[0]) for piece in html.split('id="L')[1:]]


def test_page_shows_number_time_level_step_and_message(staff: Client, running: Run) -> None:
    moment = timezone.now().replace(hour=6, minute=14, second=45, microsecond=226_000)
    make_log_entries(running, ["Pulled page 1"], level=Level.WARNING, step=Step.PULL, logged_at=moment)

    line = log(staff, running).split('<li class="line')[1].split("</li>")[0]

    assert 'line-warning" id="L1"' in line
    assert 'href="?line=1#L1"' in line
    for text in (">06:14:45.227<", ">warning<", ">pull<", ">Pulled page 1<"):
        assert text in line


def test_auto_refresh_is_on_only_for_open_runs(staff: Client, running: Run) -> None:
    assert ">Auto-refresh is on</button>" in log(staff, running)
    assert ">Auto-refresh is off</button>" in log(staff, make_run())


def test_markup_colours_and_invisible_characters_are_escaped(staff: Client, running: Run) -> None:
    make_log_entries(
        running,
        [
            "<script>alert(1)</script> & 'quoted' \"twice\"",
            "\x1b[1;31mred\x1b[0m plain \x1b[38;5;12mfine\x1b[0m \x1b[2Jgone",
            "file\u202egpj.exe \u200bhidden",
            '\x1b[31m<img src=x onerror="alert(1)">',
        ],
    )

    for text in (log(staff, running), feed(staff, running, after=0)["html"]):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#x27;quoted&#x27; &quot;twice&quot;" in text
        assert '<span class="ansi-bold ansi-red">red</span> plain <span class="ansi-blue">fine</span>' in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "right-to-left override" in text
        assert '<span class="ansi-red">&lt;img src=x onerror=&quot;alert(1)&quot;&gt;</span>' in text
        assert " style=" not in text


def test_page_shows_the_latest_lines_and_links_to_earlier_ones(staff: Client, running: Run) -> None:
    make_log_entries(running, 620)

    text = log(staff, running)
    earlier = log(staff, running, before=121)

    assert shown(text) == list(range(121, 621))
    assert 'href="?before=121"' in text
    assert shown(earlier) == list(range(1, 121))
    assert 'href="?after=120"' in earlier


def test_page_around_a_line_highlights_it(staff: Client, running: Run) -> None:
    make_log_entries(running, 1200)

    text = log(staff, running, line=600)

    assert shown(text) == list(range(540, 690))
    assert 'is-selected" id="L600"' in text
    assert text.count("is-selected") == 1


@pytest.mark.parametrize("query", [{"line": "x"}, {"line": "9" * 40}, {"before": "-1"}, {"level": "odd"}])
def test_invalid_query_is_ignored(staff: Client, running: Run, query: dict) -> None:
    make_log_entries(running, 3)

    assert shown(log(staff, running, **query)) == [1, 2, 3]


def test_filters_apply_to_the_whole_log(staff: Client, running: Run) -> None:
    make_log_entries(running, ["Order 10045 pulled"])
    make_log_entries(running, ["late", "ORDER 10045 refused"], level=Level.ERROR)
    make_log_entries(running, ["slow"], level=Level.WARNING)

    assert shown(log(staff, running, level="warning")) == [4]
    assert shown(log(staff, running, level=["warning", "error"])) == [2, 3, 4]
    assert shown(log(staff, running, level="warning,error")) == [2, 3, 4]
    assert shown(log(staff, running, step="push")) == []
    assert shown(log(staff, running, level="error", q="order 10045")) == [3]
    assert "No matches." in log(staff, running, q="10046")


def test_page_shows_the_range_of_its_lines(staff: Client, running: Run) -> None:
    make_log_entries(running, 3)
    make_log_entries(running, 2, level=Level.ERROR)
    make_log_entries(running, 3)

    assert 'id="log-count">1–8</p>' in log(staff, running)
    # The range of matches, not of searched lines.
    assert 'id="log-count">4–5</p>' in log(staff, running, level="error")


def test_feed_returns_lines_after_the_cursor(staff: Client, running: Run) -> None:
    make_log_entries(running, 3)

    response = feed(staff, running, after=1)

    assert shown(response["html"]) == [2, 3]
    assert (response["cursor"], response["count"], response["is_open"]) == (3, 2, True)
    assert response["poll_after"] == 5
    assert "badge-running" in response["live"]["status"]


def test_feed_polls_immediately_if_more_lines_exist(
    staff: Client, running: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_window.read_window, "__defaults__", (2,))
    make_log_entries(running, 3)

    first = feed(staff, running, after=0)
    rest = feed(staff, running, after=first["cursor"])

    assert (shown(first["html"]), first["poll_after"]) == ([1, 2], 0)
    assert (shown(rest["html"]), rest["poll_after"]) == ([3], 5)


def test_feed_of_ended_run_stops_polling(staff: Client) -> None:
    run = make_run()
    make_log_entries(run, 2)

    response = feed(staff, run, after=0)

    assert shown(response["html"]) == [1, 2]
    assert response["poll_after"] is None
    assert not response["is_open"]
    assert "Complete · 2 lines" in response["live"]["seal"]


def test_feed_returns_the_current_line_count(staff: Client, running: Run) -> None:
    Run.objects.filter(pk=running.pk).update(line_count=1)
    version = feed(staff, running, after=1)["version"]
    Run.objects.filter(pk=running.pk).update(line_count=1204)

    assert "1,204 lines so far" in feed(staff, running, after=1, version=version)["live"]["seal"]


def test_idle_feed_omits_unchanged_values(staff: Client, running: Run) -> None:
    make_log_entries(running, 1)
    version = feed(staff, running, after=1)["version"]

    idle = feed(staff, running, after=1, version=version)
    Run.objects.filter(pk=running.pk).update(pulled_count=7)
    changed = feed(staff, running, after=1, version=version)

    assert (idle["html"], idle["cursor"], "live" in idle) == ("", 1, False)
    assert changed["live"]["pulled"] == "7"


def test_filtered_feed_searches_each_line_once(staff: Client, running: Run) -> None:
    make_log_entries(running, ["wanted", "other", "other"])

    response = feed(staff, running, after=0, q="wanted")

    assert (shown(response["html"]), response["cursor"]) == ([1], 3)


@pytest.mark.parametrize(
    "kind", ["superuser", "own permissions", "group's permissions", "limited to the group"]
)
def test_idle_feed_takes_one_query_besides_session_and_user(
    client: Client, running: Run, kind: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_log_entries(running, 3)
    names = ("services.view_service", "runs.view_run")
    group = Group.objects.create(name="Support")
    if kind == "superuser":
        client.force_login(make_user(is_superuser=True))
    elif kind == "own permissions":
        client.force_login(make_user(permissions=names))
    else:
        codenames = [name.split(".")[1] for name in names]
        group.permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(make_user(groups=[group]))
    if kind == "limited to the group":
        running.service.groups.add(group)

    with django_assert_num_queries(3):
        response = feed(client, running, after=3)

    assert (response["html"], response["cursor"]) == ("", 3)


@pytest.mark.parametrize("count", [1, 3])
def test_page_takes_a_constant_query_count(
    staff: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run = make_run(store_pull=True)
    for number in range(1, count + 1):
        make_log_entries(run, 1)
        make_payload(run, sequence=number)

    # Session, user, run, its retries, lines, payloads.
    with django_assert_num_queries(6):
        log(staff, run)


def test_seal_shows_lost_lines_and_reason(staff: Client) -> None:
    run = make_run(
        status=Run.Status.LOST, is_complete=False, lost_line_count=41, lost_reason="the spool is gone"
    )

    assert "41 lines lost: the spool is gone" in log(staff, run)


def test_error_is_shown_with_a_link_to_its_line(staff: Client) -> None:
    run = make_run(status=Run.Status.FAILED, error="422 <b>sku</b> unknown", error_sequence=44)

    text = log(staff, run)

    assert "422 &lt;b&gt;sku&lt;/b&gt; unknown" in text
    assert '<a href="?line=44#L44">Line 44</a>' in text


def test_run_options_are_shown_with_their_form_labels(staff: Client) -> None:
    run = make_run(store_pull=True, options={"page_size": 7})

    page = staff.get(f"/admin/runs/run/{run.pk}/log/").content.decode()

    assert "<span>Store pull payloads</span>" in page
    assert "<span>Page size: 7</span>" in page


def test_payload_is_shown_at_its_line_with_expiry_and_curl_command(staff: Client) -> None:
    run = make_run(store_pull=True)
    make_log_entries(run, 2)
    payload = make_payload(run, sequence=2, name="page<1>.json", body=b"x" * 3100)

    first, second = log(staff, run).split('<li class="line')[1:3]

    assert "payload" not in first
    assert f'href="/admin/runs/run/{run.pk}/payloads/{payload.pk}/"' in second
    assert "page&lt;1&gt;.json" in second
    assert "3.1 kB" in second
    assert "expires in 23 h 59 min" in second
    assert (
        'data-copy="curl -H &quot;Authorization: Bearer $SYNCLOG_TOKEN&quot; -OJ '
        f'http://testserver/api/v1/payloads/{payload.pk}/download/"' in second
    )


def test_payload_of_open_run_shows_its_retention(staff: Client) -> None:
    run = make_run(status=Run.Status.RUNNING, store_pull=True)
    make_log_entries(run, 1)
    make_payload(run, sequence=1)

    assert "expires 24 h after the end of the run" in log(staff, run)


def test_expired_payload_shows_size_and_digest_without_link(staff: Client) -> None:
    run = make_run(store_pull=True)
    make_log_entries(run, 1)
    moment = timezone.now().replace(year=2020, month=11, day=21, hour=14, minute=5)
    payload = make_payload(run, sequence=1, body=b"x" * 3100, expires_at=moment)

    line = log(staff, run).split('<li class="line')[1].split("</li>")[0]

    assert f"expired 21 Nov 2020 14:05 · 3.1 kB · sha256 {payload.sha256[:16]}" in line
    assert "/payloads/" not in line
    assert "curl" not in line


def test_payload_download_requires_permission(client: Client, staff: Client) -> None:
    run = make_run(store_pull=True)
    payload = make_payload(run, body=b"as the source sent it", name="orders.json")
    address = f"/admin/runs/run/{run.pk}/payloads/{payload.pk}/"

    response = staff.get(address)
    assert b"".join(response.streaming_content) == b"as the source sent it"
    assert response["Content-Disposition"] == 'attachment; filename="orders.json"'

    client.force_login(make_user(permissions=["services.view_service", "runs.view_run"]))
    assert client.get(address).status_code == 403
    make_log_entries(run, 1)
    Payload.objects.update(sequence=1)
    assert f'href="{address}"' not in log(client, run)


@pytest.mark.parametrize(
    "state",
    [
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"status": "deleted", "deleted_at": timezone.now(), "body": None},
        {"status": "lost", "body": None},
        {"body": None},
    ],
)
def test_unavailable_payload_shows_message(staff: Client, state: dict) -> None:
    run = make_run(store_pull=True)
    payload = make_payload(run, **state)

    response = staff.get(f"/admin/runs/run/{run.pk}/payloads/{payload.pk}/")

    assert response.status_code == 410
    assert "This file is no longer available" in response.content.decode()


def test_log_is_downloaded_as_text(staff: Client, running: Run) -> None:
    make_log_entries(running, ["first", "second"])

    response = staff.get(f"/admin/runs/run/{running.pk}/log/text/")

    lines = b"".join(response.streaming_content).decode().splitlines()
    assert [line.split("\t")[0::4] for line in lines] == [["1", "first"], ["2", "second"]]
    assert response["Content-Disposition"] == f'attachment; filename="run-{running.pk}.log"'


def test_cancel_requires_post(staff: Client, running: Run) -> None:
    address = f"/admin/runs/run/{running.pk}/cancel/"

    assert staff.get(address).status_code == 405
    response = staff.post(address)

    running.refresh_from_db()
    assert response["Location"] == f"/admin/runs/run/{running.pk}/log/"
    assert running.cancel_requested_at is not None
    assert running.cancel_requested_by.username == "ada"


def test_queued_run_is_cancelled_immediately(staff: Client) -> None:
    run = make_run(status=Run.Status.QUEUED)

    text = staff.post(f"/admin/runs/run/{run.pk}/cancel/", follow=True).content.decode()

    assert f"Run {run.pk} is cancelled." in text
    assert "badge-cancelled" in text
    assert '<dd data-live="started">never</dd>' in text


def test_cancel_requires_permission(client: Client, running: Run) -> None:
    client.force_login(make_user(permissions=["services.view_service", "runs.view_run"]))

    assert client.post(f"/admin/runs/run/{running.pk}/cancel/").status_code == 403
    running.refresh_from_db()
    assert running.cancel_requested_at is None


def test_empty_log_shows_message(staff: Client, running: Run) -> None:
    assert "No lines yet." in log(staff, running)
    assert "This run has no lines." in log(staff, make_run())


def test_run_list_shows_last_24_hours_of_all_services(staff: Client) -> None:
    recent = make_run()
    make_run(started_at=timezone.now() - timedelta(hours=25))
    queued = make_run(status=Run.Status.QUEUED)

    def listed(**query: str) -> list[int]:
        return [run.pk for run in staff.get("/admin/runs/run/", query).context["cl"].result_list]

    assert listed() == [queued.pk, recent.pk]
    assert len(listed(period="any")) == 3
    assert listed(period="odd") == []
    assert listed(status__exact="queued") == [queued.pk]


def test_log_shows_no_lines_of_other_runs(staff: Client, running: Run) -> None:
    make_log_entries(running, 1)
    make_log_entries(make_run(), ["of another run"])

    assert "of another run" not in log(staff, running)
    assert LogEntry.objects.count() == 2
