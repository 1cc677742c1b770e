"""First steps of a new installation: what is done, what is next, and what is not permitted."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from apps.console.home import page as home_page
from tests.factories import make_connection, make_run, make_service, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def check_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the checks, which are tested with the doctor."""
    monkeypatch.setattr(home_page, "run_checks", list)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


def steps(client: Client) -> list[tuple[str, str, str]]:
    """Title, state and address of each step that is shown."""
    response = client.get("/admin/")
    shown: list[Any] = response.context["first_steps"]
    assert ("First steps" in response.content.decode()) == bool(shown)
    return [
        (step.title, "done" if step.is_done else "next" if step.is_next else "later", step.url)
        for step in shown
    ]


def test_steps_follow_what_exists(staff: Client) -> None:
    connection = "/admin/services/connection/add/"
    service = "/admin/services/service/add/"

    assert steps(staff) == [
        ("Add a connection", "next", connection),
        ("Add a service", "later", service),
        ("Run the service", "later", ""),
        ("Read its log", "later", ""),
    ]

    shop = make_connection()
    assert [state for _title, state, _url in steps(staff)] == ["done", "next", "later", "later"]

    orders = make_service(source_connection=shop, destination_connection=shop)
    assert steps(staff)[1:3] == [
        ("Add a service", "done", service),
        ("Run the service", "next", f"/admin/services/service/{orders.pk}/run/"),
    ]

    make_run(orders, status="queued")
    assert steps(staff) == []


def test_every_address_opens(staff: Client) -> None:
    make_service()

    for _title, _state, url in steps(staff):
        assert url == "" or staff.get(url).status_code == 200


def test_missing_permission_is_named_instead_of_the_link(client: Client) -> None:
    client.force_login(make_user(permissions=["runs.view_run", "services.view_service"]))

    text = client.get("/admin/").content.decode()

    for permission in ("Can add connection", "Can add service", "Can start runs"):
        assert f"You do not have the permission “{permission}”; ask an administrator for it." in text
    assert "Can view run" not in text
    assert "/add/" not in text


def test_user_who_may_not_view_runs_sees_the_steps(client: Client) -> None:
    client.force_login(make_user(permissions=["services.add_connection"]))

    text = client.get("/admin/").content.decode()

    assert 'href="/admin/services/connection/add/"' in text
    assert "You do not have the permission “Can view run”" in text


def test_reported_service_leads_to_the_handbook(staff: Client) -> None:
    make_service(kind="reported", source_connection=None, destination_connection=None)

    assert steps(staff)[2] == ("Run the service", "next", "/admin/help/reporting/")


def test_hidden_run_ends_the_first_steps(client: Client) -> None:
    make_run(make_service(groups=[Group.objects.create(name="Finance")]))
    client.force_login(make_user(permissions=["runs.view_run", "services.view_service"]))

    assert steps(client) == []
