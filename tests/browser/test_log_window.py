"""Long logs in a real browser: the page holds a limited number of lines and fits every screen width."""

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from apps.console.log import page as log_page
from apps.runs.models import Level, Run
from tests.factories import make_log_entries, make_payload, make_run, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]
# Timeout in milliseconds, long enough to load several pages of lines on a busy machine.
TIMEOUT = 20_000
LINES = Path(finders.find("console/log/lines.js"))

HIDE_TAB = """
hidden => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}
"""

# Scrolls to one end repeatedly until the line is loaded; returns the highest number of lines on the page.
SCROLL_UNTIL = """
async ([isDown, wanted, patience]) => {
    const lines = document.getElementById("lines");
    const end = performance.now() + patience;
    let maxLines = lines.childElementCount;
    const count = () => { maxLines = Math.max(maxLines, lines.childElementCount); };
    new MutationObserver(count).observe(lines, {childList: true});
    while (!document.getElementById(`L${wanted}`) && performance.now() < end) {
        scrollTo(0, isDown ? document.documentElement.scrollHeight : 1);
        await new Promise(requestAnimationFrame);
    }
    return maxLines;
}
"""

OVERFLOWING = """
() => [...document.querySelectorAll("#content *:not(option)")].filter((element) => {
    const { right, width } = element.getBoundingClientRect();
    return width > 1 && right > innerWidth + 1;
}).map((element) => element.outerHTML.slice(0, 90))
"""


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_page, "POLL_AFTER", 0.2)


@pytest.fixture
def open_log(page: Page, log_in):
    """Opens the log of a run as a superuser."""

    def go(run: Run, query: str = "") -> Page:
        log_in(page, make_user(is_superuser=True))
        page.goto(f"/admin/runs/run/{run.pk}/log/{query}")
        return page

    return go


@pytest.fixture
def open_full_log(page: Page, open_log):
    """Opens the log of a running run and scrolls to its end, so that the page holds its last 1,000 lines.

    The limit of these pages is 1,000 lines instead of 4,000, which the browser lays out much faster.
    """
    script = LINES.read_text()
    assert "MAX_LINES = 4000" in script
    smaller = script.replace("MAX_LINES = 4000", "MAX_LINES = 1000")

    def go(lines: int, query: str) -> tuple[Run, Page]:
        page.route(
            "**/console/log/lines.js",
            lambda route: route.fulfill(body=smaller, content_type="text/javascript"),
        )
        run = make_run(status=Run.Status.RUNNING)
        make_log_entries(run, lines)
        open_log(run, query)
        page.evaluate(SCROLL_UNTIL, [True, lines, 4 * TIMEOUT])
        assert becomes_true(page, "document.getElementById('later').hidden")
        assert numbers(page) == list(range(lines - 999, lines + 1))
        return run, page

    return go


def numbers(page: Page) -> list[int]:
    return page.evaluate("[...document.querySelectorAll('.line')].map((line) => Number(line.id.slice(1)))")


def becomes_true(page: Page, condition: str) -> bool:
    """Waits until this JavaScript expression is true. With 4,000 lines `expect` takes seconds."""
    is_true: bool = page.evaluate(
        f"""async () => {{
            const end = performance.now() + {2 * TIMEOUT};
            while (!({condition}) && performance.now() < end) {{
                await new Promise((done) => setTimeout(done, 50));
            }}
            return Boolean({condition});
        }}"""
    )
    return is_true


def has_waiting_text(text: str) -> str:
    return f"document.getElementById('new-lines').textContent === '{text}'"


def is_in_view(number: int) -> str:
    return f"document.getElementById('L{number}')?.getBoundingClientRect().top < innerHeight"


def test_scrolling_up_loads_earlier_lines_without_moving_the_view(open_log) -> None:
    run = make_run()
    make_log_entries(run, 3000)
    page = open_log(run, "?line=2000")
    expect(page.locator("#L2000")).to_be_in_viewport()
    page.evaluate("document.getElementById('L1950').scrollIntoView()")
    expect(page.locator("#L1440")).to_be_attached()

    top = "document.getElementById('L1950').getBoundingClientRect().top"
    assert 0 < page.evaluate(top) < 250
    assert numbers(page) == list(range(1440, 2090))


def test_line_count_of_the_page_is_limited_while_scrolling(open_log) -> None:
    run = make_run()
    make_log_entries(run, 5000)
    page = open_log(run, "?after=0")
    assert numbers(page) == list(range(1, 501))

    max_lines_down = page.evaluate(SCROLL_UNTIL, [True, 5000, 4 * TIMEOUT])
    assert numbers(page) == list(range(1001, 5001))
    max_lines_up = page.evaluate(SCROLL_UNTIL, [False, 1, 4 * TIMEOUT])
    assert numbers(page) == list(range(1, 4001))

    # Lines in view are never removed.
    page.evaluate("document.getElementById('L3980').scrollIntoView()")
    assert becomes_true(page, "document.getElementById('L4500')")
    assert 0 < page.evaluate("document.getElementById('L3980').getBoundingClientRect().top") < 250
    assert numbers(page)[0] > 1
    assert (max_lines_down, max_lines_up) == (4000, 4000)


def test_full_page_counts_new_lines(open_full_log) -> None:
    run, page = open_full_log(1000, "?after=0")
    page.evaluate("document.getElementById('L500').scrollIntoView()")

    make_log_entries(run, 3)
    assert becomes_true(page, has_waiting_text("3 new lines"))
    make_log_entries(run, 4)
    assert becomes_true(page, has_waiting_text("7 new lines"))
    assert becomes_true(page, "document.getElementById('log-note').textContent === '7 more lines'")
    assert becomes_true(page, "!document.getElementById('later').hidden")
    # No line around the view is removed, even after scrolling a little.
    page.evaluate("document.getElementById('L510').scrollIntoView()")
    assert becomes_true(page, is_in_view(510))
    make_log_entries(run, 1)
    assert becomes_true(page, has_waiting_text("8 new lines"))
    assert numbers(page) == list(range(1, 1001))

    # Scrolling to the end loads all of them.
    page.evaluate(SCROLL_UNTIL, [True, 1008, TIMEOUT])
    assert numbers(page) == list(range(9, 1009))
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    assert becomes_true(page, "document.getElementById('new-lines').hidden")
    make_log_entries(run, 1)
    assert becomes_true(page, is_in_view(1009))


def test_click_shows_new_lines_of_a_full_page(open_full_log) -> None:
    run, page = open_full_log(1000, "?after=0")
    page.evaluate("scrollTo(0, 0)")

    make_log_entries(run, 1200)
    assert becomes_true(page, has_waiting_text("1,200 new lines"))
    page.evaluate("document.getElementById('new-lines').click()")

    assert becomes_true(page, is_in_view(2200))
    assert becomes_true(page, "document.getElementById('new-lines').hidden")
    assert numbers(page) == list(range(1701, 2201))


def test_replacing_last_lines_by_earlier_ones_leaves_no_gap(open_full_log) -> None:
    run, page = open_full_log(1500, "?line=561")
    held: list[Route] = []
    page.route(re.compile(r"/feed/\?after=1500"), lambda route: held.append(route), times=1)
    while not held:
        page.wait_for_timeout(50)
    make_log_entries(run, 5)

    page.evaluate(SCROLL_UNTIL, [False, 1, TIMEOUT])
    assert numbers(page) == list(range(1, 1001))
    held[0].continue_()

    assert becomes_true(page, has_waiting_text("5 new lines"))
    assert numbers(page) == list(range(1, 1001))


def test_resumed_auto_refresh_loads_all_missed_lines(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 10)
    page = open_log(run)
    button = page.locator("#refresh")
    button.click()
    expect(button).to_have_text("Auto-refresh is off")
    make_log_entries(run, 1300)

    page.keyboard.press("f")

    expect(page.locator("#L1310")).to_be_in_viewport()
    assert numbers(page) == list(range(1, 1311))


def test_hidden_tab_sends_no_requests_and_catches_up_when_shown(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 1)
    page = open_log(run)
    expect(page.locator("#L1")).to_be_visible()

    page.evaluate(HIDE_TAB, True)
    page.wait_for_load_state("networkidle")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    make_log_entries(run, 700)
    page.wait_for_timeout(1000)
    assert requests == []

    page.evaluate(HIDE_TAB, False)
    expect(page.locator("#L701")).to_be_attached()
    assert numbers(page) == list(range(1, 702))


def test_seal_shows_lost_and_omitted_lines(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 2)
    page = open_log(run)
    expect(page.locator(".seal")).to_have_count(0)

    Run.objects.filter(pk=run.pk).update(
        status=Run.Status.LOST,
        finished_at=timezone.now(),
        is_complete=False,
        lost_line_count=41,
        lost_reason="the spool was not found",
        omitted_line_count=5000,
        step_seconds={"pull": 2.5, "push": 7},
        lease_token=None,
        lease_until=None,
    )

    expect(page.locator(".seal")).to_have_text(
        "41 lines lost: the spool was not found, 5,000 lines left out from the middle"
    )
    expect(page.get_by_role("img", name="Time in each step: Pull 2.5 s, Push 7.0 s")).to_be_visible()


def test_log_can_be_paged_and_filtered_without_javascript(new_page, log_in) -> None:
    run = make_run()
    make_log_entries(run, 1200)
    make_log_entries(run, ["It failed"], level=Level.ERROR)
    page = new_page(java_script_enabled=False)
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/runs/run/{run.pk}/log/")

    def expect_lines(first: int, last: int) -> None:
        expect(page.locator(".line-number").first).to_have_text(str(first))
        expect(page.locator(".line-number").last).to_have_text(str(last))

    page.get_by_role("link", name="First", exact=True).click()
    expect_lines(1, 500)
    page.get_by_role("link", name="Later lines").click()
    expect_lines(501, 1000)
    page.get_by_role("link", name="Earlier lines").click()
    expect_lines(1, 500)
    page.get_by_role("link", name="Latest", exact=True).click()
    expect_lines(702, 1201)
    page.get_by_label("Find in the whole log").fill("line 77")
    page.get_by_role("button", name="Show").click()
    expect_lines(77, 779)
    page.get_by_role("link", name="All lines").click()
    page.get_by_label("error", exact=True).check()
    page.get_by_role("button", name="Show").click()
    expect_lines(1201, 1201)


def test_nothing_overflows_at_any_width(open_log) -> None:
    run = make_run(
        store_pull=True,
        step_seconds={"pull": 1, "script": 2, "push": 3},
        error="A" * 300,
        status=Run.Status.FAILED,
    )
    make_log_entries(run, ["x" * 2000, "ordinary"])
    make_payload(run, sequence=2, name="n" * 200)
    page = open_log(run)
    page.locator("#L1 .line-number").click()

    for width in (390, 1024, 1440, 2560):
        page.set_viewport_size({"width": width, "height": 900})
        assert (width, page.evaluate(OVERFLOWING)) == (width, [])
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_toolbar_takes_two_rows_while_filtering_and_searching(open_log) -> None:
    run = make_run()
    make_log_entries(run, 1200, level=Level.ERROR)
    page = open_log(run, "?level=error")
    page.locator("#find").fill("line")
    page.keyboard.press("Enter")
    expect(page.locator("#find-count")).to_have_text(re.compile(r"1,000\+"))

    assert page.locator("#clear-filter").is_visible()
    for width in (1024, 1440, 2560):
        page.set_viewport_size({"width": width, "height": 900})
        assert (width, page.locator(".log-toolbar").bounding_box()["height"] < 100) == (width, True)
