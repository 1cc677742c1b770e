"""Keyboard shortcuts of every page, and the state of a run in the tab."""

import pytest
from playwright.sync_api import Page, expect

from apps.console.log import page as log_page
from apps.runs.models import Run
from tests.browser.test_accessibility import violations
from tests.factories import make_log_entries, make_run, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


@pytest.fixture
def run(page: Page, log_in, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(log_page, "POLL_AFTER", 0.2)
    log_in(page, make_user(is_superuser=True))
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run)
    return run


def test_shortcuts_search_open_pages_and_list_themselves(page: Page, run: Run) -> None:
    keys = page.keyboard
    page.goto("/admin/runs/payload/")

    keys.press("/")
    expect(page.locator("#search-box")).to_be_focused()
    keys.type("gs?/")
    expect(page.locator("#search-box")).to_have_value("gs?/")
    keys.press("Escape")
    keys.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_contain_text("Go to the services")
    assert violations(page) == []
    keys.press("g")
    keys.press("s")
    keys.press("Escape")
    expect(dialog).to_be_hidden()
    keys.press("Control+g")
    keys.press("s")
    assert page.url.endswith("/admin/runs/payload/")
    keys.press("g")
    keys.press("s")
    page.wait_for_url("**/admin/services/service/")

    # In the log, "g" alone goes to a line.
    page.goto(f"/admin/runs/run/{run.pk}/log/")
    keys.press("?")
    expect(dialog).to_contain_text("Next and previous error")
    keys.press("Escape")
    keys.press("g")
    expect(page.get_by_label("Go to line")).to_be_focused()
    keys.press("r")
    page.wait_for_url("**/admin/records/")
    keys.press("?")
    dialog.get_by_label("Enable single-letter shortcuts").uncheck()
    keys.press("Escape")
    keys.press("g")
    keys.press("s")
    keys.press("/")
    expect(page.locator("#search-box")).not_to_be_focused()


def test_title_and_icon_of_the_tab_follow_the_run(page: Page, run: Run) -> None:
    icon = page.locator("link[rel=icon]")
    page.goto(f"/admin/runs/run/{run.pk}/log/")
    expect(page).to_have_title(f"● Running · Run {run.pk} | {run.service.name} | Synclog")
    assert "tab-running" in icon.get_attribute("href")

    # A hidden tab shows at least its title and icon.
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    Run.objects.filter(pk=run.pk).update(
        status=Run.Status.FAILED, finished_at=run.started_at, lease_token=None, lease_until=None
    )

    expect(page).to_have_title(f"✕ Failed · Run {run.pk} | {run.service.name} | Synclog")
    assert "tab-failed" in icon.get_attribute("href")
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#refresh")).to_have_text("Auto-refresh is off")
    assert page.request.get(icon.get_attribute("href")).ok
    page.goto("/admin/")
    expect(page).to_have_title("✕ Failed · Home | Synclog")
