"""Audit log page: list, filters, pages, CSV, permissions and visibility. Nobody can change it."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from apps.alerts.models import Delivery, Rule
from apps.alerts.problems.changes import set_note
from apps.audit.models import Action, AuditEvent
from apps.audit.recording import record_change, record_command_change, record_event
from apps.console.audit import page as audit_page
from apps.runs.models import PayloadRead, Run
from apps.services.models import Service
from tests.factories import (
    make_connection,
    make_payload,
    make_problem,
    make_rule,
    make_run,
    make_service,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db
URL = "/admin/audit/"
VIEW = "audit.view_auditevent"


@pytest.fixture
def reader(client: Client) -> User:
    """A superuser without entries: a login would be one."""
    user = make_user("reader", is_superuser=True)
    client.force_login(user)
    AuditEvent.objects.all().delete()
    return user


def shown(response: Any) -> list[str]:
    assert response.status_code == 200
    return [row.entry.object_name for row in response.context["rows"]]


def add(name: str, *, user: User | None = None, days: float = 0, **columns: Any) -> AuditEvent:
    when = timezone.now() - timedelta(days=days)
    event = record_event(Action.EXPORTED, user=user, name=name, **columns)
    AuditEvent.objects.filter(pk=event.pk).update(occurred_at=when)
    return event


def csv_rows(response: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(response.getvalue().decode("utf-8-sig"), newline="")))


def test_page_merges_all_sources_newest_first(client: Client, reader: User) -> None:
    service = make_service(slug="orders", name="Orders")
    run = make_run(service)
    PayloadRead.objects.create(payload=make_payload(run), user=reader)
    before = {"max_attempts": 1}
    record_change(reader, service, before | {"timezone": "Europe/London"})
    add("last")

    response = client.get(URL)

    assert shown(response) == ["last", "Orders", f"#{run.pk} orders"]
    assert [row.entry.action for row in response.context["rows"]] == [
        Action.EXPORTED,
        Action.CHANGED,
        Action.READ,
    ]
    text = response.content.decode()
    assert "<code>max_attempts</code> <del>1</del>" in text
    assert "<ins>3</ins>" in text


def test_empty_page_says_so(client: Client, reader: User) -> None:
    assert "No entry in the last 7 days." in client.get(URL).content.decode()
    assert "No matching entry in the last hour." in client.get(f"{URL}?kind=user&period=1h").content.decode()


def test_detail_of_our_own_is_translated_and_that_of_a_user_is_not(client: Client, reader: User) -> None:
    record_event(Action.FACTOR_CHANGED, user=reader, subject=reader, detail="Passkey added")
    set_note(make_problem(make_service()), "Started", user=reader, now=timezone.now())

    rows = client.get(URL, headers={"accept-language": "de"}).context["rows"]

    assert {row.detail for row in rows} == {"Passkey hinzugefügt", "Started"}


def test_page_is_filtered_by_the_url(client: Client, reader: User) -> None:
    ada, orders = make_user("ada"), make_service(slug="orders", name="Orders")
    add("by ada", user=ada)
    add("orders", user=reader, subject=orders)
    add("old", user=ada, subject=orders, days=20)
    add("older", days=60)

    def filtered(**query: Any) -> list[str]:
        # Without the last chosen period.
        client.cookies.pop("synclog_audit_period", None)
        return shown(client.get(URL, query))

    assert filtered() == ["orders", "by ada"]
    assert filtered(period="any") == ["orders", "by ada", "old", "older"]
    assert filtered(period="30d", user="ada") == ["by ada", "old"]
    assert filtered(period="any", user="ada", action="exported") == ["by ada", "old"]
    assert filtered(period="any", action="started") == []
    assert filtered(period="any", kind="service") == ["orders", "old"]
    assert filtered(period="any", kind="service", object="orders", user="ada") == ["old"]
    assert (
        filtered(kind="service", object=orders.pk) == filtered(kind="service", object="Orders") == ["orders"]
    )
    assert filtered(kind="service", object="other") == filtered(kind="user") == []
    day = timezone.localtime(timezone.now() - timedelta(days=20))
    assert filtered(**{"from": f"{day:%Y-%m-%d}", "to": f"{day + timedelta(days=1):%Y-%m-%dT00:00}"}) == [
        "old"
    ]
    assert filtered(other="x") == ["orders", "by ada"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"user": "nobody"}, "User “nobody” not found."),
        ({"user": "a\x00"}, "not found."),
        ({"action": "odd"}, "Unknown action “odd”. Choose one of: added, changed,"),
        ({"kind": "odd", "object": "1"}, "Unknown kind “odd”. Choose one of: "),
        ({"period": "9y"}, "Unknown period “9y”. Choose one of: 1h, 24h, 7d, 30d, any."),
        ({"object": "orders"}, "Choose the kind of the object as well."),
        ({"from": "yesterday"}, "“yesterday” is not a time."),
        ({"before": "2026-01-01|event|x"}, "The address of the page is incomplete."),
        ({"before": "2026-01-01T00:00:00|event|1"}, "The address of the page is incomplete."),
    ],
)
def test_invalid_filter_shows_and_exports_nothing(
    client: Client, reader: User, query: dict[str, str], message: str
) -> None:
    add("entry")

    response = client.get(URL, query)

    assert shown(response) == []
    assert message in response.content.decode()
    assert len(csv_rows(client.get(f"{URL}csv/", query))) == 1


def test_objects_without_a_name_are_found_by_their_number(client: Client, reader: User) -> None:
    runs = [make_run() for _number in range(2)]
    problems = [make_problem(run.service) for run in runs]
    for run, problem in zip(runs, problems, strict=True):
        add(f"run {run.pk}", subject=run)
        PayloadRead.objects.create(payload=make_payload(run), user=reader)
        set_note(problem, f"note {problem.pk}", user=reader, now=timezone.now())
    last_run, last_problem = runs[-1], problems[-1]

    of_run = client.get(URL, {"kind": "run", "object": last_run.pk})
    of_problem = client.get(URL, {"kind": "problem", "object": last_problem.pk})

    assert shown(of_run) == [f"#{last_run.pk} {last_run.service.slug}", f"run {last_run.pk}"]
    assert [row.detail for row in of_problem.context["rows"]] == [f"note {last_problem.pk}"]
    assert shown(client.get(URL, {"kind": "run", "object": "other"})) == []


def test_names_with_control_characters_find_nothing(client: Client, reader: User) -> None:
    add("entry", subject=reader)

    assert shown(client.get(URL, {"kind": "user", "object": "a\x00"})) == []
    assert shown(client.get(URL, {"kind": "run", "object": "9" * 30})) == []


def test_pages_contain_every_entry_once(
    client: Client, reader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_page, "PAGE_SIZE", 2)
    moment = timezone.now() - timedelta(hours=1)
    for number in range(3):
        add(f"event {number}")
        LogEntry.objects.log_actions(reader.pk, [reader], CHANGE, change_message=f"history {number}")
    AuditEvent.objects.update(occurred_at=moment)
    LogEntry.objects.update(action_time=moment)

    found, address = [], URL
    while address:
        response = client.get(address)
        found += [row.entry.position for row in response.context["rows"]]
        address = response.context["older"] and URL + response.context["older"]

    assert len(found) == 6
    assert found == sorted(set(found), reverse=True)


@pytest.mark.parametrize("number", [1, 3])
def test_page_takes_a_constant_query_count(
    client: Client, reader: User, number: int, django_assert_num_queries: Any
) -> None:
    for order in range(number):
        other = make_user()
        service = make_service(slug=f"s{order}")
        PayloadRead.objects.create(payload=make_payload(make_run(service)), user=other)
        record_change(other, service, {})
        add("event", user=other, subject=service)
    client.get(URL)

    # Session, user; events, history, reads.
    with django_assert_num_queries(5):
        response = client.get(URL)

    assert len(response.context["rows"]) == 3 * number


def test_csv_contains_the_filtered_entries(client: Client, reader: User) -> None:
    service = make_service(slug="orders", name="Orders")
    record_change(reader, service, {"max_attempts": 1})
    add("other", days=60)
    add('=HYPERLINK("x")', command="=cmd", token="+x", detail="@SUM(A1)\nb")

    response = client.get(f"{URL}csv/")

    assert response["Content-Disposition"].startswith('attachment; filename="audit-')
    header, formula, change = csv_rows(response)
    assert header[:3] == ["time (UTC)", "action", "user"]
    assert formula[1:] == [
        *("exported", "", "'=cmd", "'+x", "", "", "", '\'=HYPERLINK("x")', "'@SUM(A1)\nb", "", "1")
    ]
    assert change[1:10] == ["changed", "reader", "", "", "", "service", str(service.pk), "Orders", ""]
    assert "max_attempts: 1 → 3" in change[10]


def test_failed_logins_are_shown_with_their_number(client: Client, reader: User) -> None:
    AuditEvent.objects.create(action=Action.LOGIN_FAILED, address="10.0.0.1", count=12)

    text = client.get(URL).content.decode()

    assert "12 attempts" in text
    assert "Unknown" in text
    assert "10.0.0.1" in text


def test_many_values_are_folded(client: Client, reader: User) -> None:
    values = [{"field": f"field{number}", "old": "", "new": number} for number in range(17)]
    AuditEvent.objects.create(action=Action.ADDED, changes=values)

    assert b"<summary>17 values</summary>" in client.get(URL).content


def test_log_can_be_read_only(client: Client, reader: User) -> None:
    event = add("entry")

    statuses = {
        (path, method): getattr(client, method)(path).status_code
        for path in (URL, f"{URL}csv/")
        for method in ("post", "put", "patch", "delete")
    }
    others = [
        client.post(f"/admin/{model}/{view}").status_code
        for model in ("audit/auditevent", "admin/logentry", "runs/payloadread")
        for view in ("add/", f"{event.pk}/change/", f"{event.pk}/delete/", "")
    ]

    assert set(statuses.values()) == {405}
    assert set(others) == {404}
    assert {AuditEvent, LogEntry, PayloadRead}.isdisjoint(admin.site._registry)
    permissions = Permission.objects.filter(content_type__app_label="audit").values_list(
        "codename", flat=True
    )
    assert list(permissions) == ["view_auditevent"]
    assert shown(client.get(URL)) == ["entry"]


def test_page_requires_the_permission(client: Client) -> None:
    client.force_login(make_user(permissions=["services.view_service", "admin.view_logentry"]))
    assert [client.get(path).status_code for path in (URL, f"{URL}csv/")] == [403, 403]
    assert URL not in client.get("/admin/").content.decode()

    client.force_login(make_user(permissions=[VIEW]))
    assert client.get(URL).status_code == 200
    assert URL in client.get("/admin/").content.decode()

    client.force_login(make_user(permissions=[VIEW], is_staff=False))
    assert client.get(URL).status_code == 302


# --- Services of other groups ---


def make_entries(service: Service) -> None:
    """An entry of each kind that may name the service, also in old values."""
    user = make_user("ada", is_superuser=True)
    rule, (token, _secret) = make_rule(service, name="Rule"), make_token(user, services=[service])
    run = make_run(service, trigger=Run.Trigger.MANUAL)
    record_change(user, service, {"name": "Concealed before"})
    record_change(user, service.source_connection, {})
    record_change(user, rule, {"services": [str(service)]})
    record_command_change("create_token", token, None, {"services": [str(service)]})
    run.request_cancel(user)
    PayloadRead.objects.create(payload=make_payload(run, name="concealed.json"), user=user)
    set_note(make_problem(service, title="concealed"), "x", user=user, now=timezone.now())
    LogEntry.objects.log_actions(user.pk, [run], CHANGE, change_message="concealed", single_object=True)
    # A kind of object that the log does not know.
    LogEntry.objects.log_actions(user.pk, [Delivery(pk=1, subject="Concealed")], CHANGE)
    deleted = make_service(name="Concealed and deleted", slug="concealed-deleted")
    record_change(user, deleted, {})
    deleted.delete()


@pytest.fixture
def entries(client: Client) -> Group:
    finance = Group.objects.create(name="Finance")
    service = make_service(
        name="Concealed payroll",
        slug="concealed-payroll",
        groups=[finance],
        source_connection=make_connection(name="concealed-bank"),
    )
    make_entries(service)
    own = make_service(name="Orders", slug="orders")
    record_event(Action.EXPORTED, subject=own, user=make_user("bob"))
    make_run(own, trigger=Run.Trigger.MANUAL, status=Run.Status.QUEUED).request_cancel(
        User.objects.get(username="bob")
    )
    return finance


def text_of(client: Client, *queries: dict[str, str]) -> str:
    responses: list[HttpResponse] = [client.get(URL, query) for query in queries]
    return "".join(
        [response.content.decode() for response in responses]
        + [client.get(f"{URL}csv/", query).getvalue().decode() for query in queries]  # type: ignore[attr-defined]
    ).lower()


QUERIES = ({}, {"user": "ada"}, *({"kind": kind} for kind in ("service", "run", "problem", "rule", "token")))


@pytest.mark.parametrize("permissions", [(VIEW,), (VIEW, "services.view_service", "runs.view_run")])
def test_hidden_services_are_not_named(client: Client, entries: Group, permissions: tuple[str, ...]) -> None:
    client.force_login(make_user(permissions=permissions))

    text = text_of(client, *QUERIES)

    assert "concealed" not in text
    assert "ada" in text or "bob" in text
    assert ("orders" in text) == (len(permissions) > 1)


def test_member_of_the_group_and_superuser_see_them(client: Client, entries: Group) -> None:
    client.force_login(make_user(permissions=[VIEW, "services.view_service"], groups=[entries]))
    of_member = text_of(client, *QUERIES)
    client.force_login(make_user(is_superuser=True))

    assert text_of(client, *QUERIES).count("concealed") == of_member.count("concealed") > 20


def test_rules_are_hidden_from_limited_readers_after_the_service_was_removed(
    client: Client, entries: Group
) -> None:
    Rule.objects.get(name="Rule").set_services([])
    client.force_login(make_user(permissions=[VIEW, "services.view_service"]))

    assert shown(client.get(URL, {"kind": "rule"})) == []
