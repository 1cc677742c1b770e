"""Console pages: weight, sidebar, menus and keyboard use."""

import gzip
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Response, expect

from apps.console.summary import page as summary_page
from apps.runs.models import Run
from tests.browser.pages import create_data
from tests.factories import make_run, make_service, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


def test_summary_loads_at_most_40_kb(page: Page, log_in) -> None:
    service = create_data()
    log_in(page, make_user(is_superuser=True))
    responses: list[Response] = []
    page.on("response", lambda response: responses.append(response))

    page.goto(f"/admin/services/service/{service.pk}/runs/", wait_until="networkidle")

    # A handler that waits for the body would end after the test has gone on.
    loaded = sizes_by_name(responses)
    assert {
        "admin/css/base.css",
        "console/ui/tokens.css",
        "console/ui/menus.js",
        "console/summary/chart.js",
    } <= loaded.keys()
    assert sum(loaded.values()) <= 40_000, loaded


def sizes_by_name(responses: list[Response]) -> dict[str, int]:
    """Sizes of style sheets and scripts, compressed as WhiteNoise serves them."""
    names = {response: urlsplit(response.url).path.removeprefix("/static/") for response in responses}
    return {
        name: len(gzip.compress(response.body()))
        for response, name in names.items()
        if name.endswith((".css", ".js"))
    }


def test_rows_refresh_while_a_run_is_running(page: Page, log_in, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_page, "POLL_AFTER", 0.2)
    run = make_run(status=Run.Status.RUNNING)
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{run.service_id}/runs/")
    row = page.locator(f"tr[data-run='{run.pk}']")
    expect(row).to_contain_text("Running")

    Run.objects.filter(pk=run.pk).update(pulled_count=4321)
    expect(row).to_contain_text("4,321")
    row.locator(".menu-button").click()
    Run.objects.filter(pk=run.pk).update(
        status=Run.Status.SUCCEEDED, finished_at=run.started_at, lease_token=None, lease_until=None
    )

    expect(row).to_contain_text("Succeeded")
    expect(page.get_by_role("link", name="More details")).to_be_visible()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(600)
    assert requests == []


def test_row_menu_works_with_the_keyboard(page: Page, log_in) -> None:
    service = make_service(name="Orders to warehouse")
    log_in(page, make_user(is_superuser=True))
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


def test_menu_turns_schedule_off(page: Page, log_in) -> None:
    service = make_service(name="Orders to warehouse")
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/services/service/")

    page.get_by_role("button", name="Actions for Orders to warehouse").click()
    page.get_by_role("button", name="Turn schedule off").click()

    expect(page.get_by_text("The schedule of Orders to warehouse is off.")).to_be_visible()
    service.refresh_from_db()
    assert not service.is_active


def test_theme_button_changes_the_theme(page: Page, log_in) -> None:
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.locator(".theme-toggle").click()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_sidebar_opens_on_a_phone(new_page, log_in) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/")
    expect(page.locator("#sidebar")).to_be_hidden()

    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Services", exact=True).first.click()

    expect(page.get_by_role("heading", name="Services", exact=True)).to_be_visible()


def test_slash_moves_the_focus_into_the_search_box_and_escape_back(page: Page, log_in) -> None:
    service = make_service(name="Orders to warehouse", slug="orders")
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/services/service/")
    box = page.get_by_role("searchbox", name="Search for a record, run, service, connection or payload")
    link = page.get_by_role("link", name="Orders to warehouse")
    link.focus()

    # The key moves the focus and is not typed; within a field it is typed.
    page.keyboard.press("/")
    expect(box).to_be_focused()
    page.keyboard.type("a/b")
    expect(box).to_have_value("a/b")
    page.keyboard.press("Escape")
    expect(link).to_be_focused()
    page.locator("#searchbar").focus()
    page.keyboard.type("/")
    expect(page.locator("#searchbar")).to_have_value("/")

    # The text in the box is selected, so that typing replaces it.
    link.focus()
    page.keyboard.press("/")
    page.keyboard.type("orders")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/service/{service.pk}/runs/")

    page.goto(f"/admin/runs/run/{make_run(service).pk}/log/")
    page.keyboard.press("/")
    expect(box).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(page.get_by_label("Find in the whole log")).to_be_focused()


def test_cells_of_a_list_have_labels_on_a_phone(new_page, log_in) -> None:
    make_run(status=Run.Status.SUCCEEDED, warning_count=3)
    page = new_page(viewport={"width": 390, "height": 844})
    log_in(page, make_user(is_superuser=True))

    page.goto("/admin/runs/run/")

    cell = page.locator(".field-warnings")
    expect(cell).to_have_attribute("data-label", "Warnings")
    expect(page.locator("td[data-label='Run']")).to_have_count(0)
    assert "Warnings" in cell.evaluate("cell => getComputedStyle(cell, '::before').content")
