"""Each kind of event, caused as users cause it, is one entry of the audit log; none of them contains a secret."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.api.models import ApiToken
from apps.audit import recording
from apps.audit.changes import column_values, differences
from apps.audit.models import Action, AuditEvent
from apps.audit.trail import Entry, Filters, read_page
from apps.runs.models import Record, Run
from apps.services.definition.loading import load_services
from apps.services.models import Connection, Service
from tests.factories import (
    make_connection,
    make_payload,
    make_problem,
    make_record,
    make_run,
    make_service,
    make_token,
    make_user,
)
from tests.forms import form_data_of

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough secret"
SECRET = "s3cret-of-the-shop"
SCRIPT = "def transform(records):\n    return records\n"


@dataclass
class World:
    """A superuser in the console and with a token, and one row of each kind."""

    client: Client
    api: Client
    admin: User
    service: Service
    run: Run


@pytest.fixture
def world(client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any) -> World:
    monkeypatch.setattr("apps.runs.tasks.execute_run.apply_async", lambda **_options: None)
    admin = make_user("admin", is_superuser=True, password=PASSWORD)
    client.force_login(admin)
    _token, secret = make_token(admin, name="ci")
    service = make_service(slug="orders", name="Orders", script=SCRIPT)
    run = make_run(service, trigger=Run.Trigger.SCHEDULE, store_pull=True)
    AuditEvent.objects.all().delete()
    return World(client, Client(headers={"Authorization": f"Bearer {secret}"}), admin, service, run)


def entries(reader: User, **filters: Any) -> list[Entry]:
    return read_page(Filters(**filters), reader, limit=100).entries


def changes_of(entry: Entry) -> dict[str, tuple[Any, Any]]:
    return {change["field"]: (change["old"], change["new"]) for change in entry.changes}


def page(name: str, *arguments: object) -> str:
    return reverse(f"admin:{name}", args=arguments)


def change_service(world: World) -> None:
    data = form_data_of(world.service) | {
        "max_attempts": "5",
        "source_path": "/v2?api_key=k123",
        "script": "",
    }
    world.client.post(page("services_service_change", world.service.pk), data)


def change_connection(world: World) -> None:
    connection = make_connection(name="shop", url="http://shop.example", secret=SECRET, auth="bearer")
    data = {"name": "shop", "kind": "http", "url": "http://shop.example", "connect_timeout": "5"}
    data |= {"read_timeout": "60", "auth": "bearer", "secret": f"{SECRET}-2"}
    world.client.post(page("services_connection_change", connection.pk), data)


def add_channel(world: World) -> None:
    data = {
        "name": "pager",
        "kind": "webhook",
        "url": "https://pager.example/in?token=t123",
        "language": "en",
    }
    data |= {"is_active": "on", "secret_env": "PAGER_SECRET"}
    world.client.post(page("alerts_channel_add"), data)


def change_user(world: World) -> None:
    user = make_user("ada")
    group = Group.objects.create(name="Support")
    joined = timezone.now()
    data = {"username": "ada", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    data |= {"groups": str(group.pk), "date_joined_0": f"{joined:%Y-%m-%d}", "date_joined_1": "10:00:00"}
    world.client.post(page("auth_user_change", user.pk), data)


def change_password(world: World) -> None:
    data = {"password1": f"new {SECRET}", "password2": f"new {SECRET}", "usable_password": "true"}
    world.client.post(page("auth_user_password_change", make_user("ada", password=PASSWORD).pk), data)


def revoke_token(world: World) -> None:
    token, _secret = make_token(world.admin, name="old")
    world.client.post(page("api_apitoken_revoke", token.pk))


def hold_run(world: World) -> None:
    until = timezone.now() + timedelta(days=3)
    data = {"until": f"{until:%Y-%m-%dT%H:%M}", "reason": "Evidence"}
    world.client.post(page("runs_run_hold", world.run.pk), data)


def resync_run(world: World) -> None:
    make_record(world.run, key="1", outcome=Record.Outcome.REFUSED)
    body = {"keys": ["1"], "from": "source"}
    world.api.post(f"/api/v1/runs/{world.run.pk}/resync/", body, content_type="application/json")


def cancel_run(world: World) -> None:
    run = make_run(world.service, status=Run.Status.QUEUED, trigger=Run.Trigger.SCHEDULE)
    world.api.post(f"/api/v1/runs/{run.pk}/cancel/")


def read_payload(world: World) -> None:
    payload = make_payload(world.run)
    b"".join(world.api.get(f"/api/v1/payloads/{payload.pk}/download/"))


def change_problem(world: World, **change: str) -> None:
    problem = make_problem(world.service)
    world.api.patch(f"/api/v1/problems/{problem.pk}/", change, content_type="application/json")


def fail_login(world: World) -> None:
    Client().post("/admin/login/", {"username": "admin", "password": SECRET})


def name_password(world: World) -> None:
    Client().post("/admin/login/", {"username": SECRET, "password": ""} | {"password": "x"})


def add_token(world: World) -> None:
    call_command("create_token", "admin", name="by hand")


def add_token_in_console(world: World) -> None:
    data = {"name": "report", "user": world.admin.pk, "scopes": ["run:read"], "days": 30}
    world.client.post(page("api_apitoken_add"), data)


def mute_in_console(world: World) -> None:
    data = {"problem": [make_problem(world.service).pk], "action": "mute", "days": "7"}
    world.client.post(page("problems_change"), data)


def load(world: World) -> None:
    load_services(
        "connections:\n"
        "  shop:\n"
        f"    {{kind: http, base_url: 'http://shop.example', auth: {{type: bearer, secret: {SECRET}}}}}\n"
    )


EVENTS: dict[str, tuple[Callable[[World], object], tuple[Action, str, str, str]]] = {
    "settings": (change_service, (Action.CHANGED, "service", "Orders", "admin")),
    "schedule": (
        lambda world: world.client.post(page("services_service_schedule", world.service.pk, "off")),
        (Action.CHANGED, "service", "Orders", "admin"),
    ),
    "secret": (change_connection, (Action.CHANGED, "connection", "shop", "admin")),
    "channel": (add_channel, (Action.ADDED, "channel", "pager", "admin")),
    "export": (
        lambda world: world.client.get(page("services_service_export", world.service.pk)),
        (Action.EXPORTED, "service", "Orders", "admin"),
    ),
    "preview": (
        lambda world: world.client.post(
            f"{page('services_service_preview')}?step=source&service={world.service.pk}",
            form_data_of(world.service),
        ),
        (Action.TRIED, "service", "Orders", "admin"),
    ),
    "start": (
        lambda world: world.client.post(page("services_service_run", world.service.pk), {}),
        (Action.STARTED, "run", "#{run} orders", "admin"),
    ),
    "resync": (resync_run, (Action.RESYNCED, "run", "#{run} orders", "admin")),
    "cancel": (cancel_run, (Action.CANCELLED, "run", "#{run} orders", "admin")),
    "hold": (hold_run, (Action.HELD, "run", "Run {run}", "admin")),
    "read": (read_payload, (Action.READ, "run", "#{run} orders", "admin")),
    "resolve": (
        lambda world: change_problem(world, state="resolved"),
        (Action.RESOLVED, "problem", "Customer 17 has no address", "admin"),
    ),
    "mute": (
        lambda world: change_problem(world, state="muted"),
        (Action.MUTED, "problem", "Customer 17 has no address", "admin"),
    ),
    "assign": (
        lambda world: change_problem(world, assignee="admin"),
        (Action.ASSIGNED, "problem", "Customer 17 has no address", "admin"),
    ),
    "revoke": (revoke_token, (Action.REVOKED, "token", "old (synclog_", "admin")),
    "token": (add_token, (Action.ADDED, "token", "by hand (synclog_", "")),
    "token in the console": (add_token_in_console, (Action.ADDED, "token", "report (synclog_", "admin")),
    "mute in the console": (
        mute_in_console,
        (Action.MUTED, "problem", "Customer 17 has no address", "admin"),
    ),
    "load": (load, (Action.ADDED, "connection", "shop", "")),
    "user": (change_user, (Action.CHANGED, "user", "ada", "admin")),
    "password": (change_password, (Action.CHANGED, "user", "ada", "admin")),
    "login": (
        lambda world: Client().post("/admin/login/", {"username": "admin", "password": PASSWORD}),
        (Action.LOGIN, "user", "admin", "admin"),
    ),
    "logout": (lambda world: world.client.post("/admin/logout/"), (Action.LOGOUT, "user", "admin", "admin")),
    "failed login": (fail_login, (Action.LOGIN_FAILED, "user", "admin", "admin")),
    "password as name": (name_password, (Action.LOGIN_FAILED, "", "", "")),
}


@pytest.mark.parametrize("name", EVENTS)
def test_event_is_one_entry_without_secrets(world: World, name: str) -> None:
    cause, (action, kind, subject, username) = EVENTS[name]

    cause(world)

    [entry] = entries(world.admin)
    newest = Run.objects.latest("pk").pk
    found = (
        entry.action,
        entry.kind,
        entry.object_name.startswith(subject.format(run=newest)),
        entry.username,
    )
    assert found == (action, kind, True, username)
    assert [each for each in Action if entries(world.admin, action=each)] == [action]
    text = repr(entry)
    assert not any(secret in text for secret in (SECRET, PASSWORD, "k123", "t123"))
    assert not any(digest in text for digest in ApiToken.objects.values_list("digest", flat=True))


def test_values_of_a_service_are_old_and_new(world: World) -> None:
    change_service(world)

    [entry] = entries(world.admin)
    assert changes_of(entry) == {
        "max_attempts": (3, 5),
        "source.path": ("/records", "/v2?api_key=••••"),
        "script": (1, 2),
        # The form saves it, although it is the default.
        "destination.method": (None, "POST"),
    }


def test_alerts_of_a_service_file_are_shown_as_json() -> None:
    load_services(
        "channels: {ops: {kind: email, to: ops@example.com}}\n"
        "services: {nightly: {kind: reported, alerts: [{on: failed, to: ops}]}}\n"
    )

    [entry] = [each for each in entries(make_user(is_superuser=True)) if each.kind == "service"]
    assert changes_of(entry)["alerts"][1] == '{"on": "failed", "to": "ops"}'


def test_parts_of_lists_are_shown_as_json_without_secrets() -> None:
    row = make_service(source_options={"steps": [{"on": ["failed"], "token": SECRET}]})

    changes = differences(Service, {}, column_values(row))

    shown = {change["field"]: change["new"] for change in changes}
    assert shown["source_options.steps"] == '{"on": "failed", "token": "••••"}'


def test_values_of_secrets_are_masked(world: World) -> None:
    change_connection(world)

    [entry] = entries(world.admin)
    assert changes_of(entry) == {"read_timeout": (30, 60), "secret": ("••••", "••••")}


def test_values_of_a_user_are_groups_and_permissions(world: World) -> None:
    change_user(world)

    changes = changes_of(entries(world.admin)[0])
    assert (changes["groups"], changes["is_superuser"]) == (("", "Support"), (False, True))


def test_commands_of_django_record_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    monkeypatch.setattr("getpass.getpass", lambda **_options: f"{PASSWORD} 2")

    call_command("createsuperuser", "--no-input", "--username=boss", "--email=boss@example.com", verbosity=0)
    call_command("changepassword", "boss", verbosity=0)

    found = entries(User.objects.get())
    assert [(entry.action, entry.command, entry.object_name) for entry in found] == [
        (Action.PASSWORD_CHANGED, "changepassword", "boss"),
        (Action.ADDED, "createsuperuser", "boss"),
    ]
    assert changes_of(found[1])["is_superuser"] == (False, True)
    assert PASSWORD not in repr(found)


def test_loading_the_same_file_again_records_nothing(world: World) -> None:
    load(world)
    load(world)

    [entry] = entries(world.admin)
    assert (entry.command, changes_of(entry)["url"]) == ("load_services", ("", "http://shop.example"))


def test_change_fails_if_its_entry_cannot_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(recording.LogEntry.objects, "log_actions", fail)
    monkeypatch.setattr(recording.AuditEvent.objects, "create", fail)

    with pytest.raises(DatabaseError), transaction.atomic():
        world.client.post(page("services_service_schedule", world.service.pk, "off"))
    with pytest.raises(DatabaseError), transaction.atomic():
        load(world)

    world.service.refresh_from_db()
    assert (world.service.is_active, Connection.objects.filter(name="shop").exists()) == (True, False)


def test_failed_logins_are_summed_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_FAILED_LOGINS", 3)
    now = timezone.now()
    for number in range(1, 9):
        recording.record_failed_login(None, f"10.0.0.{number}", now)
    for _attempt in range(5):
        recording.record_failed_login(world.admin, "10.0.0.1", now)

    rows = AuditEvent.objects.order_by("pk").values_list("address", "user", "count")
    assert list(rows) == [
        ("10.0.0.1", None, 1),
        ("10.0.0.2", None, 1),
        ("10.0.0.3", None, 1),
        (None, None, 10),
    ]


def test_user_with_entries_cannot_be_deleted(world: World) -> None:
    fail_login(world)
    other = make_user("ada")

    refused = world.client.post(page("auth_user_delete", world.admin.pk), {"post": "yes"})
    world.client.post(page("auth_user_delete", other.pk), {"post": "yes"})

    assert refused.status_code == 403
    assert list(User.objects.values_list("username", flat=True)) == ["admin"]
