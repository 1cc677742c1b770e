"""Times are shown in the time zone and the locale of the browser."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from tests.factories import make_run, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


@pytest.mark.parametrize(
    ("locale", "zone", "shown"),
    [
        ("en-GB", "UTC", "31 Dec 2020, 20:30:15"),
        ("en-US", "America/New_York", "Dec 31, 2020, 03:30:15 PM"),
        ("de-DE", "Asia/Tokyo", "1. Jan. 2021, 05:30:15"),
    ],
)
def test_times_use_time_zone_and_locale_of_the_browser(
    new_page, log_in, locale: str, zone: str, shown: str
) -> None:
    run = make_run(started_at=datetime(2020, 12, 31, 20, 30, 15, tzinfo=UTC))
    page = new_page(locale=locale, timezone_id=zone)
    log_in(page, make_user(is_superuser=True))

    page.goto(f"/admin/services/service/{run.service_id}/runs/?period=any")

    expect(page.locator("tr[data-run] time")).to_have_text(shown)


def test_chosen_time_zone_overrides_that_of_the_browser(new_page, log_in) -> None:
    run = make_run(started_at=datetime(2020, 12, 31, 20, 30, 15, tzinfo=UTC))
    page = new_page(locale="en-GB", timezone_id="America/New_York")
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/")

    page.locator(".user-button").click()
    page.get_by_role("link", name="Time zone").click()
    page.get_by_label("Time zone").fill("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Times are shown in the time zone Asia/Tokyo.")).to_be_visible()
    page.goto(f"/admin/services/service/{run.service_id}/runs/?period=any")

    expect(page.locator("tr[data-run] time")).to_have_text("1 Jan 2021, 05:30:15")


def test_chart_days_use_time_zone_of_the_browser(new_page, log_in) -> None:
    run = make_run(started_at=datetime(2020, 12, 31, 20, 30, 15, tzinfo=UTC), pulled_count=7)
    page = new_page(locale="en-GB", timezone_id="Asia/Tokyo")
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/")

    page.goto(f"/admin/services/service/{run.service_id}/runs/?days=custom&first=2020-12-31&last=2021-01-01")
    page.locator(".chart-frame").focus()

    expect(page.locator(".chart-tooltip")).to_contain_text("Fri 1 Jan: 7 pulled")
