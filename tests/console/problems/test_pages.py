"""Pages of problems: list, filters, detail, changes and visibility."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from apps.alerts.models import Problem
from apps.alerts.problems.recurrence import note_occurrences
from tests.factories import (
    make_log_entries,
    make_problem,
    make_record,
    make_run,
    make_run_problem,
    make_service,
    make_user,
)

pytestmark = pytest.mark.django_db
LIST = "/admin/problems/"
VIEW = ("services.view_service", "runs.view_run")


@pytest.fixture
def user(client):
    user = make_user("ada", is_superuser=True)
    client.force_login(user)
    return user


def titles(response):
    assert response.status_code == 200
    return [row.problem.title for row in response.context["rows"]]


def change(client, *problems, **form):
    data = {"problem": [problem.pk for problem in problems], **form}
    return client.post(reverse("admin:problems_change"), data, follow=True)


def messages_of(response):
    return [str(message) for message in response.context["messages"]]


def test_list_shows_open_problems_first(client, user):
    now = timezone.now()
    make_problem(title="solved", state="resolved", last_seen_at=now)
    make_problem(title="older", last_seen_at=now - timedelta(hours=2))
    make_problem(title="newer", last_seen_at=now - timedelta(hours=1))
    make_problem(title="known", state="muted", last_seen_at=now)

    assert titles(client.get(LIST)) == ["newer", "older", "known", "solved"]


@pytest.mark.parametrize("number", [1, 3])
def test_list_takes_a_constant_query_count(client, user, number, django_assert_num_queries):
    service = make_service()
    for order in range(number):
        row = make_run_problem(make_run(service), f"Cause {chr(97 + order)}")
        make_problem(service, row.message, assignee=user)

    # Session and user, services, assignees, count, page, frequencies, choices for the assignee.
    with django_assert_num_queries(8):
        response = client.get(LIST)

    assert len(titles(response)) == number


def test_list_is_filtered_by_the_url(client, user):
    service, now = make_service(slug="orders"), timezone.now()
    make_problem(service, "mine", assignee=user)
    make_problem(service, "old", last_seen_at=now - timedelta(days=3), state="muted")
    make_problem(title="elsewhere")

    def filtered(**query):
        return set(titles(client.get(LIST, query)))

    assert filtered(service="orders") == {"mine", "old"}
    assert filtered(state="muted") == {"old"}
    assert filtered(assignee="~me") == filtered(assignee="ada") == {"mine"}
    assert filtered(assignee="~nobody") == {"old", "elsewhere"}
    assert filtered(period="24h") == {"mine", "elsewhere"}
    assert filtered(page="x") == {"mine", "old", "elsewhere"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"state": "odd"}, "Unknown state “odd”. Choose one of: open, muted, resolved."),
        ({"period": "9y"}, "Unknown period “9y”. Choose one of: 1h, 24h, 7d, 30d, any."),
        ({"service": "nope"}, "Service “nope” not found."),
        ({"assignee": "bob"}, "No problem is assigned to “bob”. Choose another assignee."),
    ],
)
def test_invalid_filter_has_a_message_and_no_problems(client, user, query, message):
    make_problem(title="cause")

    response = client.get(LIST, query)

    assert titles(response) == []
    assert message in response.content.decode()
    assert len(client.get(f"{LIST}csv/", query).getvalue().decode().splitlines()) == 1


def test_csv_has_the_filtered_problems(client, user):
    service = make_service(slug="orders")
    seen_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    make_problem(service=service, title="=1+1", note="known", first_seen_at=seen_at, last_seen_at=seen_at)
    make_problem(service=make_service(slug="other"), title="of another service")

    page = client.get(LIST, {"service": "orders"})
    link = reverse("admin:problems_csv") + "?service=orders"
    assert f'href="{link}"' in page.content.decode()
    response = client.get(link)

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    [header, row] = response.getvalue().decode("utf-8-sig").splitlines()
    assert header == ("problem,service,level,state,assignee,first seen at (UTC),last seen at (UTC),note")
    assert row == "'=1+1,orders,error,open,,2026-03-01 12:00:00,2026-03-01 12:00:00,known"


def test_problem_page_shows_runs_line_with_context_and_records(client, user):
    run = make_run(make_service(name="Orders"), has_records=True)
    make_log_entries(run, ["one", "two", "Customer <b>17</b> has no address", "four"], level=40)
    make_run_problem(run, "Customer <b>17</b> has no address", first_sequence=3, last_sequence=3, count=7)
    make_record(run, key="10045", sequence=3)
    note_occurrences(timezone.now())

    page = client.get(reverse("admin:problems_problem", args=[Problem.objects.get().pk])).content.decode()

    assert "Customer &lt;b&gt;17&lt;/b&gt; has no address" in page
    assert "<b>17</b>" not in page
    assert f'href="/admin/runs/run/{run.pk}/log/?line=3#L3"' in page
    assert "7 lines in 1 run in the last 30 days" in page
    assert "/admin/records/?key=10045" in page
    assert 'class="sparkline"' in page
    assert "style=" not in page


def test_selected_problems_are_changed_together(client, user):
    first, second, other = make_problem(title="a"), make_problem(title="b"), make_problem(title="c")

    assert messages_of(change(client, first, second, action="resolve")) == ["2 problems changed."]
    assert messages_of(change(client, first, action="assign", assignee="ada")) == ["1 problem changed."]
    assert messages_of(change(client, second, action="reopen")) == ["1 problem changed."]
    assert messages_of(change(client, other, action="mute", days="7", rate="100")) == ["1 problem changed."]
    assert messages_of(change(client, other, action="note", note=" look\r\nhere ")) == ["1 problem changed."]

    for problem in (first, second, other):
        problem.refresh_from_db()
    assert (first.state, first.assignee, second.state, other.state) == ("resolved", user, "open", "muted")
    assert (other.muted_rate, other.note) == (100, "look\nhere")
    assert timedelta(days=6) < other.muted_until - timezone.now() < timedelta(days=7)
    page = client.get(reverse("admin:problems_problem", args=[other.pk])).content.decode()
    assert "Note changed" in page


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"action": "delete"}, "Unknown action. Choose one of the buttons."),
        ({"action": "mute", "days": "x"}, "Choose how long the problem is muted."),
        (
            {"action": "mute", "rate": "-1"},
            "Enter the lines per hour as a whole number of at most 1,000,000.",
        ),
        ({"action": "assign", "assignee": "no\x00body"}, "User not found. Choose one from the list."),
        ({"action": "note", "note": "x" * 4001}, "The note is too long. Write at most 4000 characters."),
    ],
)
def test_invalid_change_is_told_and_changes_nothing(client, user, form, message):
    problem = make_problem()

    assert messages_of(change(client, problem, **form)) == [message]

    assert not problem.changes.exists()


def test_change_without_selection_is_told(client, user):
    assert messages_of(change(client, action="resolve")) == ["Select at least one problem."]


def test_next_page_is_one_of_ours(client, user):
    form = {"action": "resolve", "problem": make_problem().pk}

    for address, location in (("https://evil.example/", LIST), (f"{LIST}?state=open", f"{LIST}?state=open")):
        response = client.post(reverse("admin:problems_change"), form | {"next": address})
        assert response["Location"] == location


def test_problems_of_other_groups_are_invisible(client):
    problem = make_problem(make_service(groups=[Group.objects.create(name="Finance")]))
    client.force_login(make_user(permissions=[*VIEW, "alerts.change_problem"]))

    assert titles(client.get(LIST)) == []
    assert client.get(reverse("admin:problems_problem", args=[problem.pk])).status_code == 404
    assert messages_of(change(client, problem, action="resolve")) == ["Select at least one problem."]


def test_change_requires_the_permission(client):
    problem = make_problem()
    client.force_login(make_user(permissions=VIEW))

    page = client.get(LIST).content.decode()
    detail = client.get(reverse("admin:problems_problem", args=[problem.pk])).content.decode()

    assert problem.title in page
    assert 'name="action"' not in page + detail
    assert change(client, problem, action="resolve").status_code == 403


def test_list_requires_permission_to_view_runs(client):
    client.force_login(make_user(permissions=["services.view_service"]))

    assert client.get(LIST).status_code == 403
    assert client.get(reverse("admin:problems_csv")).status_code == 403


def test_line_of_the_log_leads_to_its_problem(client, user):
    run = make_run()
    make_log_entries(run, ["Customer 17 has no address"], level=40)
    make_log_entries(run, ["all is well"])
    problem = make_problem(run.service, "Customer 3 has no address")

    log = client.get(reverse("admin:runs_run_log", args=[run.pk])).content.decode()
    address = reverse("admin:problems_line", args=[run.pk, 1])

    assert log.count("Show the problem of this line") == 1
    assert f'href="{address}"' in log
    assert client.get(address)["Location"] == reverse("admin:problems_problem", args=[problem.pk])
    assert client.get(reverse("admin:problems_line", args=[run.pk, 2])).status_code == 404


def test_line_without_a_problem_says_why(client, user):
    run = make_run()
    make_log_entries(run, ["Customer 17 has no address"], level=40)
    address = reverse("admin:problems_line", args=[run.pk, 1])

    unknown = client.get(address, follow=True)
    make_run_problem(run, fingerprint="", count=7)
    beyond = client.get(address, follow=True)

    assert messages_of(unknown) == ["The problem of this line is not known yet. Try again in 10 seconds."]
    assert "too many different warnings and errors" in messages_of(beyond)[0]


def test_log_says_how_many_lines_belong_to_no_problem(client, user):
    run = make_run(error_count=2_000)
    make_run_problem(run, fingerprint="", count=1_900)

    page = client.get(reverse("admin:runs_run_log", args=[run.pk])).content.decode()

    assert "1,900 further warnings and errors belong to no problem" in page


def test_line_of_another_group_is_not_found(client):
    run = make_run(make_service(groups=[Group.objects.create(name="Finance")]))
    make_log_entries(run, ["Customer 17 has no address"], level=40)
    client.force_login(make_user(permissions=VIEW))

    assert client.get(reverse("admin:problems_line", args=[run.pk, 1])).status_code == 404


def test_home_and_summary_show_open_problems(client, user):
    service = make_service()
    for letter in "abcdefg":
        make_problem(service, f"Cause {letter}")
    make_problem(title="Cause elsewhere")

    home = client.get("/admin/").content.decode()
    summary = client.get(reverse("admin:services_service_runs", args=[service.pk])).content.decode()

    assert "8 open problems" in home
    assert "7 open problems" in summary
    assert "Cause elsewhere" in home
    assert "Cause elsewhere" not in summary
    assert f"/admin/problems/?state=open&amp;service={service.slug}" in summary
