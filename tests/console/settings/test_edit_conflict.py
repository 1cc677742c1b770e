"""Two users edit one service or connection: the second is warned, and nothing is overwritten silently."""

import html
import re
import time

import pytest
from django.contrib.auth.models import Group
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.services.definition.options import read_source
from apps.services.models import Connection, Service
from tests.factories import make_connection, make_service, make_user

pytestmark = pytest.mark.django_db
SCRIPT = "def transform(records):\n    return records\n"


@pytest.fixture
def ada() -> Client:
    return logged_in("ada", first_name="Ada")


@pytest.fixture
def bob() -> Client:
    return logged_in("bob")


def logged_in(name: str, **fields: object) -> Client:
    client = Client()
    client.force_login(make_user(name, is_superuser=True, **fields))
    return client


class Page:
    """The settings page of a row, as one user has opened it."""

    def __init__(self, client: Client, row: Service | Connection) -> None:
        self.client = client
        self.url = f"/admin/services/{row._meta.model_name}/{row.pk}/change/"
        self._take(client.get(self.url))

    def _take(self, response) -> None:
        self.form = response.context["adminform"].form
        self.text = response.content.decode()
        self.data = {}
        for bound in self.form:
            shown = bound.field.prepare_value(bound.value())
            if f'name="{bound.html_name}"' in self.text and shown is not None and shown is not False:
                self.data[bound.html_name] = "on" if shown is True else shown

    def save(self, **values: object) -> bool:
        """Whether the values were saved; otherwise the page shows the form again."""
        self.data |= values
        response = self.client.post(
            self.url, {name: value for name, value in self.data.items() if value != ""}
        )
        if response.status_code != 302:
            self._take(response)
        return response.status_code == 302

    @property
    def differences(self) -> list[list[str]]:
        """Label, stored value and entered value of each row of the warning."""
        rows = re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", self.text, re.S)
        cells = [re.split(r"</t[hd]>", row)[:-1] for row in rows]
        return [[html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in row] for row in cells]


def test_second_user_is_warned_once(ada: Client, bob: Client) -> None:
    service = make_service(name="Orders", script=SCRIPT, source_options={"path": "/a"})
    first, second = Page(ada, service), Page(bob, service)
    assert first.save(name="Ada's", source_path="/ada", is_active="", script=SCRIPT + "# Ada\n")

    assert not second.save(name="Bob's", source_page_size="7", script=SCRIPT + "# Bob\n")

    assert sorted(second.differences) == [
        ["Name", "Ada's", "Bob's"],
        ["Schedule on", "Yes", "No"],
        ["Script", " def transform(records):\n     return records\n-# Ada\n+# Bob"],
        ["Source: Path", "/a", "/ada"],
    ]
    assert "Ada has changed the stored values since you opened this page" in second.text
    assert second.data["name"] == "Bob's"
    assert second.data["source_page_size"] == "7"
    service.refresh_from_db()
    assert (service.name, service.source_options) == ("Ada's", {"path": "/ada"})

    assert second.save()
    service.refresh_from_db()
    assert (service.name, service.is_active) == ("Bob's", False)
    assert service.source_options == {"path": "/ada", "page_size": 7}


def test_all_kinds_of_values_that_only_the_first_user_changed_are_kept(ada: Client, bob: Client) -> None:
    group = Group.objects.create(name="Finance")
    other = make_connection(name="other")
    service = make_service(
        name="Orders",
        script=SCRIPT,
        groups=[group],
        capture_on_failure=True,
        source_options={
            "path": "/a",
            "method": "POST",
            "body": {"q": 1},
            "params": {"a": "1"},
            "retry_status": [500],
        },
    )
    second = Page(bob, service)
    service.groups.clear()
    Service.objects.update(
        capture_on_failure=False,
        track_records=False,
        log_retention_days=9,
        source_connection=other,
        source_options={
            "path": "/a",
            "method": "POST",
            "body": {"q": 2},
            "params": {"b": "2", "c": "3"},
            "retry_status": [501, 505],
            "pagination": {"type": "page", "page_param": "p", "end_status": [404]},
        },
    )
    service.set_script(SCRIPT + "# Ada\n")
    service.refresh_from_db()
    expected = settings_of(service)

    assert not second.save(name="Bob's")
    assert second.save()

    service.refresh_from_db()
    assert service.name == "Bob's"
    assert settings_of(service) == expected


def settings_of(service: Service) -> list[object]:
    columns = ("capture_on_failure", "track_records", "log_retention_days", "source_connection_id")
    values = [getattr(service, column) for column in columns]
    source = read_source("http", service.source_options)
    return [*values, source, service.current_script().source, [*service.groups.all()]]


def test_long_scripts_are_compared_in_bounded_time(ada: Client, bob: Client) -> None:
    lines = [f"x = {number % 7}" for number in range(20_000)]
    service = make_service(name="Orders", script=SCRIPT + "\n".join(lines))
    second = Page(bob, service)
    service.set_script(SCRIPT + "\n".join(reversed(lines)))

    started = time.monotonic()
    assert not second.save(script=SCRIPT + "\n".join(lines[7:]))

    assert time.monotonic() - started < 10
    assert [row[0] for row in second.differences] == ["Script"]


def test_third_save_in_between_is_shown_again(ada: Client, bob: Client) -> None:
    service = make_service(name="Orders")
    second = Page(bob, service)
    Service.objects.update(name="One")
    assert not second.save(name="Bob's")
    Service.objects.update(name="Two")

    assert not second.save()

    assert second.differences == [["Name", "Two", "Bob's"]]
    assert second.save()


def test_unrelated_and_equal_changes_are_no_conflict(ada: Client, bob: Client) -> None:
    service = make_service(name="Orders")
    first, second = Page(ada, service), Page(bob, service)
    assert first.save(name="Same")

    assert second.save(name="Same", max_attempts="7")

    service.refresh_from_db()
    assert (service.name, service.max_attempts) == ("Same", 7)


def test_since_of_a_run_in_between_is_kept(ada: Client) -> None:
    service = make_service(name="Orders", since="2026-01-01T00:00:00Z")
    page = Page(ada, service)
    Service.objects.update(since="2026-02-01T00:00:00Z")

    assert page.save(name="Renamed")

    service.refresh_from_db()
    assert (service.name, service.since) == ("Renamed", "2026-02-01T00:00:00Z")


def test_edited_since_is_compared_with_that_of_a_run(ada: Client) -> None:
    service = make_service(since="2026-01-01T00:00:00Z")
    page = Page(ada, service)
    Service.objects.update(since="2026-02-01T00:00:00Z")

    assert not page.save(since="2025-01-01T00:00:00Z")

    assert page.differences == [["Since", "2026-02-01T00:00:00Z", "2025-01-01T00:00:00Z"]]
    assert page.save()
    service.refresh_from_db()
    assert service.since == "2025-01-01T00:00:00Z"


def test_reported_service_and_change_outside_of_the_console(ada: Client) -> None:
    service = make_service(
        name="Payroll", kind="reported", source_connection=None, destination_connection=None
    )
    page = Page(ada, service)
    Service.objects.update(name="Loaded", updated_at=timezone.now())

    assert not page.save(name="Typed")

    assert page.differences == [["Name", "Loaded", "Typed"]]
    assert "The stored values have changed since you opened this page" in page.text
    assert page.save()


def test_service_that_was_deleted_meanwhile_is_added_anew(ada: Client, bob: Client) -> None:
    service = make_service(name="Orders", slug="orders", source_options={"path": "/a"}, script=SCRIPT)
    second = Page(bob, service)
    ada.post(f"/admin/services/service/{service.pk}/delete/", {"post": "yes"})
    assert not Service.objects.exists()

    assert not second.save(name="Bob's", source_path="/b", script=SCRIPT + "# Bob\n")

    assert "Ada has deleted this since you opened the page" in second.text
    assert "it is added anew" in second.text
    assert not Service.objects.exists()
    second.url = re.search(r'<form action="([^"]+)"', second.text).group(1)
    assert second.url == "/admin/services/service/add/"
    assert second.save()
    added = Service.objects.get()
    assert (added.name, added.slug, added.source_options) == ("Bob's", "orders", {"path": "/b"})
    assert added.current_script().source == SCRIPT + "# Bob\n"


def test_reported_service_that_was_deleted_meanwhile_is_added_as_such(ada: Client) -> None:
    service = make_service(
        slug="payroll", kind="reported", source_connection=None, destination_connection=None
    )
    page = Page(ada, service)
    Service.objects.all().delete()

    assert not page.save(name="Payroll 2")

    assert "source_connection" not in page.text
    page.url = re.search(r'<form action="([^"]+)"', page.text).group(1)
    assert page.save()
    assert [*Service.objects.values_list("slug", "name", "kind")] == [("payroll", "Payroll 2", "reported")]


def test_deleted_service_keeps_what_was_entered_without_the_permission_to_add(client: Client) -> None:
    service = make_service(name="Orders")
    client.force_login(make_user("eve", permissions=["services.view_service", "services.change_service"]))
    page = Page(client, service)
    Service.objects.all().delete()

    assert not page.save(name="Eve's")

    assert page.data["name"] == "Eve's"
    assert "You may not add it anew" in page.text
    assert 'name="_save"' not in page.text


def test_hidden_service_is_not_taken_for_a_deleted_one(client: Client) -> None:
    service = make_service(name="Orders")
    client.force_login(make_user("eve", permissions=["services.view_service", "services.change_service"]))
    page = Page(client, service)
    service.groups.add(Group.objects.create(name="Finance"))

    response = client.post(page.url, page.data)

    assert (response.status_code, response.url) == (302, "/admin/")


def test_connection_conflict_never_shows_a_secret(ada: Client, bob: Client) -> None:
    connection = make_connection(name="shop", auth="bearer", secret="f1rst-secret")
    first, second = Page(ada, connection), Page(bob, connection)
    untouched = Page(bob, connection)
    assert first.save(secret="s3cond-secret", url="http://ada.example")

    assert not second.save(secret="th1rd-secret", url="http://bob.example")

    assert sorted(second.differences) == [
        ["Secret", "••••", "Enter it again."],
        ["URL", "http://ada.example", "http://bob.example"],
    ]
    for secret in ("f1rst", "s3cond", "th1rd"):
        assert secret not in second.text
    # The new secret is kept if none is entered.
    assert untouched.save(url="http://ada.example", auth_username="")
    connection.refresh_from_db()
    assert (connection.get_secret(), connection.url) == ("s3cond-secret", "http://ada.example")
    assert second.save(secret="th1rd-secret")
    connection.refresh_from_db()
    assert (connection.get_secret(), connection.url) == ("th1rd-secret", "http://bob.example")


@pytest.mark.parametrize("version", ["x", "name", "name:", ":" * 1000, "\x00é name:0"])
def test_invalid_version_shows_what_would_be_overwritten(ada: Client, version: str) -> None:
    service = make_service(name="Orders")
    page = Page(ada, service)

    assert not page.save(name="New", version=version)

    assert ["Name", "Orders", "New"] in page.differences
    assert page.save()


def test_values_are_escaped(ada: Client) -> None:
    service = make_service(name="Orders")
    page = Page(ada, service)
    Service.objects.update(name="<b>stored</b>")

    assert not page.save(name="<i>typed</i>")

    assert "&lt;b&gt;stored&lt;/b&gt;" in page.text
    assert "<b>stored" not in page.text
    assert "<i>typed" not in page.text


@pytest.mark.postgresql
def test_row_is_locked_before_it_is_compared(ada: Client) -> None:
    page = Page(ada, make_service(name="Orders"))

    with CaptureQueriesContext(database) as queries:
        assert page.save(name="New")

    statements = [query["sql"] for query in queries]
    locks = [number for number, sql in enumerate(statements) if "FOR UPDATE" in sql]
    reads = [number for number, sql in enumerate(statements) if '"services_service"."schedule"' in sql]
    assert locks
    assert max(number for number in reads if "UPDATE" not in statements[number][:6]) > locks[0]
