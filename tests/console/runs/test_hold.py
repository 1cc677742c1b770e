"""Hold page of a run."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import make_run, make_user

pytestmark = pytest.mark.django_db
STAFF = ("services.view_service", "runs.view_run")


@pytest.fixture
def page():
    return reverse("admin:runs_run_hold", args=[make_run().pk])


def test_user_with_permission_holds_and_releases_a_run(client: Client) -> None:
    client.force_login(make_user("ada", permissions=(*STAFF, "runs.hold_run")))
    run = make_run()
    page = reverse("admin:runs_run_hold", args=[run.pk])
    until = timezone.now() + timedelta(days=3)

    sent = client.post(page, {"until": f"{until:%Y-%m-%dT%H:%M}", "reason": "Audit <12>"})

    run.refresh_from_db()
    assert sent["Location"] == reverse("admin:runs_run_log", args=[run.pk])
    assert run.held_until == until.replace(second=0, microsecond=0)
    shown = client.get(page).content.decode()
    assert "Held until" in shown
    assert "Audit &lt;12&gt;" in shown
    client.post(page, {"release": "1"})
    run.refresh_from_db()
    assert run.held_until is None
    assert "Hold released" in client.get(page).content.decode()


def test_hold_button_shows_a_lock_and_not_the_icon_of_a_pause(client: Client) -> None:
    client.force_login(make_user("ada", permissions=(*STAFF, "runs.hold_run")))
    run = make_run()

    shown = client.get(reverse("admin:runs_run_log", args=[run.pk])).content.decode()

    button = shown.partition(f'href="{reverse("admin:runs_run_hold", args=[run.pk])}"')[2].partition("</a>")[
        0
    ]
    assert "#i-lock" in button
    assert 'id="i-lock"' in shown


def test_invalid_value_is_reported_at_its_field(client: Client, page: str) -> None:
    client.force_login(make_user(is_superuser=True))

    shown = client.post(page, {"until": "2020-01-01T00:00", "reason": "x"}).content.decode()

    assert "Choose a time within the next 90 days." in shown
    assert "This field is required." in client.post(page, {}).content.decode()


@pytest.mark.parametrize("method", ["get", "post"])
def test_hold_requires_permission(client: Client, page: str, method: str) -> None:
    client.force_login(make_user(permissions=STAFF))

    assert getattr(client, method)(page).status_code == 403


def test_held_filter_lists_held_runs(client: Client) -> None:
    client.force_login(make_user(is_superuser=True))
    tomorrow = timezone.now() + timedelta(days=1)
    held = make_run(held_until=tomorrow, hold_reason="x")
    others = [make_run(), make_run(held_until=timezone.now() - timedelta(seconds=1))]

    shown = client.get("/admin/runs/run/?held=yes").content.decode()

    assert f"/admin/runs/run/{held.pk}/log/" in shown
    assert not any(f"/admin/runs/run/{run.pk}/log/" in shown for run in others)
