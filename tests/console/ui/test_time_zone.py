"""Time zone of the reader: cookie of the browser, and the zone that the user chose."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.services.models import UserTimeZone
from tests.factories import make_run, make_service, make_user

pytestmark = pytest.mark.django_db
PAGE = "/admin/time-zone/"


@pytest.fixture
def user(client: Client) -> User:
    user = make_user(is_superuser=True)
    client.force_login(user)
    return user


@pytest.mark.parametrize("zone", ["Nowhere/Land", "../etc/passwd", "x" * 500, "UTC; x"])
def test_invalid_time_zone_is_ignored(client: Client, user: User, zone: str) -> None:
    make_service()
    client.cookies["synclog_zone"] = zone

    assert client.get("/admin/services/service/").status_code == 200


def test_chosen_zone_overrides_the_browser_on_every_computer(client: Client, user: User) -> None:
    run = make_run(started_at=datetime(2020, 12, 31, 20, 30, 15, tzinfo=UTC))
    list_url = f"/admin/services/service/{run.service_id}/runs/?period=any"
    client.cookies["synclog_zone"] = "America/New_York"
    assert "31 Dec 2020 15:30:15" in client.get(list_url).content.decode()

    client.post(PAGE, {"time_zone": "Asia/Tokyo"})

    other_computer = Client()
    other_computer.force_login(user)
    for browser in (client, other_computer):
        page = browser.get(list_url).content.decode()
        assert "1 Jan 2021 05:30:15" in page
        assert '<meta name="time-zone" content="Asia/Tokyo">' in page

    client.post(PAGE, {"time_zone": ""})

    assert "31 Dec 2020 15:30:15" in client.get(list_url).content.decode()


def test_zone_belongs_to_one_user(client: Client, user: User) -> None:
    UserTimeZone.choose(make_user(), "Asia/Tokyo")

    assert 'name="time-zone"' not in client.get(PAGE).content.decode()
    assert client.get(PAGE).context["form"].initial == {"time_zone": ""}


@pytest.mark.parametrize("zone", ["Berlin", "../etc/passwd", "Asia/Tokyo\x00", "x" * 65])
def test_invalid_choice_is_an_error_and_changes_nothing(client: Client, user: User, zone: str) -> None:
    UserTimeZone.choose(user, "Asia/Tokyo")

    response = client.post(PAGE, {"time_zone": zone})

    assert response.status_code == 200
    assert response.context["form"].errors["time_zone"]
    if zone == "Berlin":
        text = response.content.decode()
        assert "Unknown time zone “Berlin”; write one such as Europe/London or UTC." in text
    assert UserTimeZone.objects.get().name == "Asia/Tokyo"


def test_removed_zone_falls_back_to_the_browser(client: Client, user: User) -> None:
    UserTimeZone.choose(user, "Mars/Olympus")
    client.cookies["synclog_zone"] = "Asia/Tokyo"

    assert "Asia/Tokyo" in client.get(PAGE).content.decode()
