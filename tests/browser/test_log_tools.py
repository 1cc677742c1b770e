"""Tools of the log page in a real browser: filters, search, errors, selection, times, copying, shortcuts, payloads."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from apps.runs.models import Level, Run, Step
from tests.factories import make_log_entries, make_payload, make_run, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


@pytest.fixture
def open_log(page: Page, log_in):
    """Opens the log of a run as a superuser who may read the clipboard."""

    def go(run: Run, query: str = "") -> Page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        log_in(page, make_user(is_superuser=True))
        page.goto(f"/admin/runs/run/{run.pk}/log/{query}")
        return page

    return go


@pytest.fixture
def run() -> Run:
    """3,000 lines; warnings at 100, 1100 and 2100, errors at 1000, 2000 and 3000, order 10045 at 150 and 2500."""
    run = make_run()
    for part in range(3):
        make_log_entries(run, 99)
        make_log_entries(run, ["Slow response"], level=Level.WARNING)
        make_log_entries(run, 49)
        make_log_entries(run, ["Order 10045 pulled" if part == 0 else "Another order pulled"])
        make_log_entries(run, 349)
        make_log_entries(run, ["ORDER 10045 refused" if part == 2 else "Line"], step=Step.PUSH)
        make_log_entries(run, 499)
        make_log_entries(run, ["It failed"], level=Level.ERROR, step=Step.PUSH)
    return run


def numbers(page: Page) -> list[int]:
    return [int(text) for text in page.locator(".line-number").all_text_contents()]


def clipboard(page: Page) -> str:
    return page.evaluate("navigator.clipboard.readText()")


def test_levels_and_steps_filter_the_whole_log(open_log, run: Run) -> None:
    page = open_log(run)

    page.get_by_label("warning", exact=True).check()
    expect(page.locator(".line")).to_have_count(3)
    page.get_by_label("error", exact=True).check()
    expect(page.locator(".line")).to_have_count(6)
    assert numbers(page) == [100, 1000, 1100, 2000, 2100, 3000]
    expect(page).to_have_url(re.compile(r"\?level=warning&level=error$"))

    page.get_by_label("push", exact=True).check()
    expect(page.locator(".line")).to_have_count(3)
    page.reload()
    assert numbers(page) == [1000, 2000, 3000]
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Filtered log as NDJSON").click()
    lines = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert [line["sequence"] for line in lines] == [1000, 2000, 3000]

    page.keyboard.press("Escape")
    page.get_by_role("link", name="All lines").click()
    expect(page.locator("#L2999")).to_be_attached()


def test_find_moves_between_matches_with_surrounding_lines(open_log, run: Run) -> None:
    page = open_log(run, "?line=1")
    find = page.get_by_label("Find in the whole log")

    find.fill("order 10045")
    find.press("Enter")
    expect(page.locator("#L150")).to_be_in_viewport()
    expect(page.locator("#find-count")).to_have_text("1 of 2")
    expect(page.locator("#L149")).to_be_in_viewport()

    page.get_by_role("button", name="Next match").click()
    expect(page.locator("#L2500.is-match")).to_be_in_viewport()
    expect(page.locator("#find-count")).to_have_text("2 of 2")
    expect(page.locator("#L2501")).to_be_in_viewport()

    page.get_by_role("button", name="Next match").click()
    expect(page.locator("#log-message")).to_contain_text("No matches after line 2,500.")
    page.get_by_role("button", name="Previous match").click()
    expect(page.locator("#L150.is-match")).to_be_in_viewport()
    assert page.evaluate("CSS.highlights.get('match').size") == 1


def test_matches_only_shows_matching_lines(open_log, run: Run) -> None:
    page = open_log(run)

    page.get_by_label("Find in the whole log").fill("10045")
    page.get_by_label("Matches only").check()

    expect(page.locator(".line")).to_have_count(2)
    assert numbers(page) == [150, 2500]
    expect(page.locator("#find-count")).to_have_text("2 matches")


def test_match_count_is_limited_to_a_thousand(open_log) -> None:
    run = make_run()
    make_log_entries(run, 1300)
    page = open_log(run)

    page.get_by_label("Find in the whole log").fill("line")
    page.keyboard.press("Enter")

    expect(page.locator("#find-count")).to_have_text(re.compile(r"1,000\+"))


def test_keyboard_moves_to_next_and_previous_error(open_log, run: Run) -> None:
    page = open_log(run, "?line=1")

    page.keyboard.press("e")
    expect(page.locator("#L1000.is-match")).to_be_in_viewport()
    page.keyboard.press("e")
    expect(page.locator("#L2000.is-match")).to_be_in_viewport()
    page.keyboard.press("Shift+E")
    expect(page.locator("#L1000.is-match")).to_be_in_viewport()
    page.get_by_label("warning", exact=True).check()
    expect(page.locator(".line")).to_have_count(3)
    page.get_by_role("button", name="Next error").click()

    expect(page.locator("#log-message")).to_contain_text("The filter hid this line; all lines are shown.")
    expect(page.locator(".line-error.is-match")).to_be_in_viewport()


def test_next_error_is_disabled_after_the_last_error(open_log, run: Run) -> None:
    page = open_log(run, "?line=2100")
    button = page.get_by_role("button", name="Next error")
    expect(button).to_be_enabled()

    button.click()
    expect(page.locator("#L3000.is-match")).to_be_in_viewport()
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", "No errors after line 3,000.")
    expect(button).to_be_focused()
    # Pressing the disabled button shows a message.
    page.keyboard.press("Enter")
    expect(page.locator("#log-message")).to_contain_text("No errors after line 3,000.")

    page.get_by_role("link", name="First", exact=True).click()
    expect(button).to_be_enabled()
    expect(button).to_have_attribute("title", "")


def test_go_to_line_shows_line_or_message(open_log, run: Run) -> None:
    page = open_log(run)

    page.keyboard.press("g")
    page.keyboard.type("1234")
    page.keyboard.press("Enter")
    expect(page.locator("#L1234.is-selected")).to_be_in_viewport()
    expect(page).to_have_url(re.compile(r"\?line=1234#L1234$"))

    page.get_by_label("Go to line").fill("4000")
    page.keyboard.press("Enter")
    expect(page.locator("#log-message")).to_contain_text("Line 4,000 does not exist.")


def test_first_and_latest_links_show_both_ends(open_log, run: Run) -> None:
    page = open_log(run)

    page.get_by_role("link", name="First", exact=True).click()
    expect(page.locator("#L1")).to_be_in_viewport()
    page.get_by_role("link", name="Latest", exact=True).click()
    expect(page.locator("#L3000")).to_be_in_viewport()


def test_selected_lines_can_be_copied_as_link_and_text(open_log, run: Run) -> None:
    page = open_log(run, "?line=1")

    page.locator("#L10 .line-number").click()
    page.locator("#L13 .line-number").click(modifiers=["Shift"])

    expect(page).to_have_url(re.compile(r"\?line=10#L10-L13$"))
    assert page.locator(".is-selected").count() == 4
    expect(page.locator("#selection strong")).to_have_text("Lines 10 to 13")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#live-region")).to_have_text("Link copied")
    assert clipboard(page).endswith(f"/admin/runs/run/{run.pk}/log/?line=10#L10-L13")
    page.get_by_role("button", name="Copy lines").click()
    expect(page.locator("#live-region")).to_have_text("4 lines copied")
    assert [line.split("\t")[0] for line in clipboard(page).splitlines()] == ["10", "11", "12", "13"]

    page.reload()
    expect(page.locator(".is-selected")).to_have_count(4)
    expect(page.locator("#L10")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(page.locator(".is-selected")).to_have_count(0)


def test_fragment_alone_selects_lines(open_log, run: Run) -> None:
    page = open_log(run, "#L42-L44")

    expect(page.locator("#L42")).to_be_in_viewport()
    expect(page.locator(".is-selected")).to_have_count(3)


def test_time_format_is_selected_and_stored(open_log) -> None:
    began = timezone.now().replace(hour=6, minute=0, second=0, microsecond=0)
    run = make_run(started_at=began)
    make_log_entries(
        run, ["One"], logged_at=began + timedelta(hours=1, minutes=2, seconds=3, milliseconds=455)
    )
    page = open_log(run)
    time = page.locator("#L1 .line-time")
    expect(time).to_have_text("07:02:03.456")

    page.get_by_label("Since start").check()
    expect(time).to_have_text("+1:02:03.456")
    page.reload()
    expect(time).to_have_text("+1:02:03.456")
    page.get_by_label("UTC").check()
    expect(time).to_have_text("07:02:03.456")
    assert time.get_attribute("datetime").startswith(f"{began:%Y-%m-%d}T07:02:03.456")


def test_line_wrapping_is_selected_and_stored(open_log) -> None:
    run = make_run()
    make_log_entries(run, ["word " * 400])
    page = open_log(run)
    height = "document.getElementById('L1').offsetHeight"
    wrapped = page.evaluate(height)

    page.get_by_label("Wrap lines").uncheck()
    cut = page.evaluate(height)
    page.reload()

    assert wrapped > 3 * cut
    assert page.evaluate(height) == cut
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_columns_of_a_line_do_not_overlap(new_page, log_in, locale: str) -> None:
    run = make_run()
    for level in Level:
        for step in Step:
            make_log_entries(run, 1, level=level, step=step)
    page = new_page(locale=locale, viewport={"width": 1440, "height": 900})
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/runs/run/{run.pk}/log/")

    cut = page.evaluate(
        """() => [...document.querySelectorAll(".line > *")].filter((part) => part.scrollWidth > part.clientWidth)
            .map((part) => part.textContent)"""
    )

    assert page.locator(".line").count() == len(Level) * len(Step)
    assert cut == []


def test_visible_lines_are_copied(open_log) -> None:
    run = make_run()
    make_log_entries(run, ["One", "Two"])
    page = open_log(run)

    page.get_by_role("button", name="Copy visible lines").click()

    expect(page.locator("#live-region")).to_have_text("2 lines copied")
    assert [line.split("\t")[-1] for line in clipboard(page).splitlines()] == ["One", "Two"]


def test_payload_menu_offers_preview_and_curl(open_log) -> None:
    run = make_run(store_pull=True)
    make_log_entries(run, 1)
    payload = make_payload(run, sequence=1, name="orders.json", body=b'[{"id":1,"note":"<b>"}]')
    page = open_log(run)
    button = page.get_by_role("button", name="Actions for orders.json")

    button.click()
    page.get_by_role("button", name="Copy curl").click()
    assert clipboard(page).startswith('curl -H "Authorization: Bearer $SYNCLOG_TOKEN" -OJ http://')
    assert clipboard(page).endswith(f"/api/v1/payloads/{payload.pk}/download/")

    button.click()
    page.get_by_role("link", name="Preview").click()
    expect(page.locator(".preview pre")).to_contain_text('"note": "<b>"')
    expect(page.locator(".preview pre")).to_have_text(re.compile(r"\[\s+\{\s+\"id\": 1,"))


def test_payload_that_expires_on_the_open_page_loses_its_link(open_log) -> None:
    run = make_run(store_pull=True)
    make_log_entries(run, 1)
    payload = make_payload(run, sequence=1, expires_at=timezone.now() + timedelta(minutes=2))
    page = open_log(run)
    page.clock.install()
    page.reload()

    page.clock.fast_forward(150_000)

    chip = page.locator("#L1 .payload")
    expect(chip).to_contain_text(
        re.compile(r"expired \d+ \w+ \d\d:\d\d · 11 B · sha256 " + payload.sha256[:16])
    )
    expect(chip.locator("a, button")).to_have_count(0)


def test_keyboard_moves_between_lines_with_visible_focus(open_log, run: Run) -> None:
    page = open_log(run, "?line=500")
    page.locator("#L500 .line-number").focus()

    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#L502 .line-number")).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("#L501 .line-number")).to_be_focused()
    expect(page.locator("#L501")).to_be_in_viewport()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("End")
    expect(page.locator("#L3000 .line-number")).to_be_focused()
    assert page.locator('.line-number[tabindex="0"]').count() == 1


def test_shortcut_dialog_can_disable_single_letter_shortcuts(open_log, run: Run) -> None:
    page = open_log(run)

    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Enable single-letter shortcuts").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("w")
    expect(page.get_by_label("Wrap lines")).to_be_checked()

    page.keyboard.press("Tab")
    page.get_by_label("Find in the whole log").fill("")
    page.get_by_label("Find in the whole log").press("j")
    expect(page.get_by_label("Find in the whole log")).to_have_value("j")
