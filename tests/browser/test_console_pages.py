"""Every page of the console obeys the strict policy, fits narrow and wide screens, and is used by keyboard."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from apps.runs.models import Run
from tests.factories import make_log_entries, make_payload, make_run, make_service, make_token, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


@pytest.fixture
def addresses() -> list[str]:
    """All kinds of pages, with something on each."""
    service = make_service(name="Orders to warehouse", schedule="*/15 * * * *")
    run = make_run(service, store_pull=True, status=Run.Status.FAILED, error="Nobody answers " * 20)
    make_log_entries(run, ["word " * 60, "x" * 900])
    make_payload(run, sequence=2, name="a-rather-long-name-of-a-file-that-was-pulled-page-1.json")
    make_run(service, status=Run.Status.RUNNING)
    token, _secret = make_token()
    return [
        "/admin/",
        "/admin/services/service/",
        f"/admin/services/service/{service.pk}/runs/",
        f"/admin/services/service/{service.pk}/run/",
        f"/admin/services/service/{service.pk}/change/",
        f"/admin/services/service/{make_service().pk}/runs/",
        f"/admin/services/service/{make_service().pk}/delete/",
        "/admin/services/service/add/",
        "/admin/services/connection/",
        f"/admin/services/connection/{service.source_connection_id}/change/",
        f"/admin/services/connection/{service.source_connection_id}/history/",
        "/admin/runs/run/",
        f"/admin/runs/run/{run.pk}/log/",
        f"/admin/api/apitoken/{token.pk}/change/",
        f"/admin/auth/user/{token.user_id}/change/",
        "/admin/auth/group/add/",
        "/admin/password_change/",
    ]


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "light"), (1024, "dark"), (1440, "light"), (2560, "dark")]
)
def test_pages_fit_and_obey_the_policy(
    new_page, sign_in, addresses: list[str], width: int, scheme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    sign_in(page, make_user(is_superuser=True))

    for address in addresses:
        response = page.goto(address)
        assert (address, response.status) == (address, 200)
        assert (address, page.evaluate("document.documentElement.scrollWidth")) == (address, width)


def test_row_menu_is_worked_by_keyboard(page: Page, sign_in) -> None:
    service = make_service(name="Orders to warehouse")
    sign_in(page, make_user(is_superuser=True))
    page.goto("/admin/services/service/")
    button = page.get_by_role("button", name="Actions for Orders to warehouse")

    button.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="View logs")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Run service")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("button", name="Start run")).to_be_visible()
    assert urlsplit(page.url).path == f"/admin/services/service/{service.pk}/run/"


def test_schedule_is_turned_off_from_the_menu(page: Page, sign_in) -> None:
    service = make_service(name="Orders to warehouse")
    sign_in(page, make_user(is_superuser=True))
    page.goto("/admin/services/service/")

    page.get_by_role("button", name="Actions for Orders to warehouse").click()
    page.get_by_role("button", name="Turn schedule off").click()

    expect(page.get_by_text("The schedule of Orders to warehouse is off.")).to_be_visible()
    service.refresh_from_db()
    assert not service.is_active


def test_theme_is_chosen_by_its_button(page: Page, sign_in) -> None:
    sign_in(page, make_user(is_superuser=True))
    page.goto("/admin/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.locator(".theme-toggle").click()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_sidebar_opens_on_a_phone(new_page, sign_in) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    sign_in(page, make_user(is_superuser=True))
    page.goto("/admin/")
    expect(page.locator("#sidebar")).to_be_hidden()

    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Services", exact=True).first.click()

    expect(page.get_by_role("heading", name="Services", exact=True)).to_be_visible()
