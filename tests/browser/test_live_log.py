"""Live log in a real browser: new lines appear, the button pauses and resumes, and refreshing ends with the run."""

import re

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from apps.console.log import page as log_page
from apps.runs.models import Level, Run
from tests.factories import make_log_entries, make_payload, make_run, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]
POLL_SECONDS = 0.2


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_page, "POLL_AFTER", POLL_SECONDS)


@pytest.fixture
def open_log(page: Page, log_in):
    """Opens the log of a run as a superuser."""

    def go(run: Run, query: str = "") -> Page:
        log_in(page, make_user(is_superuser=True))
        page.goto(f"/admin/runs/run/{run.pk}/log/{query}")
        return page

    return go


def finish(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(
        status=Run.Status.SUCCEEDED,
        finished_at=timezone.now(),
        is_complete=True,
        lease_token=None,
        lease_until=None,
    )


def numbers(page: Page) -> list[int]:
    return [int(text) for text in page.locator(".line-number").all_text_contents()]


def test_auto_refresh_can_be_paused_and_ends_with_the_run(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING, store_pull=True)
    make_log_entries(run, ["The first line"])
    make_payload(run, sequence=1)
    page = open_log(run)
    expect(page.locator("#L1 .payload-expiry")).to_contain_text("expires 24 h after the end of the run")
    button = page.locator("#refresh")
    expect(button).to_have_text("Auto-refresh is on")

    make_log_entries(run, ["A new line"])
    expect(page.locator("#L2")).to_contain_text("A new line")

    button.click()
    expect(button).to_have_text("Auto-refresh is off")
    make_log_entries(run, ["Written while paused", "Written while paused too"])
    page.wait_for_timeout(POLL_SECONDS * 1000 * 5)
    assert numbers(page) == [1, 2]

    button.click()
    expect(button).to_have_text("Auto-refresh is on")
    expect(page.locator("#L4")).to_be_visible()
    assert numbers(page) == [1, 2, 3, 4]

    button.focus()
    make_log_entries(run, ["The last line"])
    finish(run)
    expect(page.locator("#L5")).to_be_visible()
    expect(page.locator(".seal")).to_have_text("Complete · 5 lines")
    expect(page.locator("[data-live=status]")).to_have_text("Succeeded")
    expect(page.locator("#L1 .payload-expiry")).to_contain_text("expires in 23 h 59 min")
    expect(button).to_have_text("Auto-refresh is off")
    expect(button).to_be_disabled()
    expect(button).to_be_focused()
    requests = []
    page.keyboard.press("Enter")
    expect(page.locator("#live-region")).to_have_text("The run has ended; no more lines will follow.")
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(POLL_SECONDS * 1000 * 5)
    assert requests == []


def test_next_error_is_enabled_by_new_errors_and_keeps_focus(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 3)
    page = open_log(run)
    button = page.get_by_role("button", name="Next error")
    expect(button).to_be_disabled()
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#log-message")).to_contain_text("This run has no errors.")

    make_log_entries(run, ["It failed"], level=Level.ERROR)
    expect(button).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.locator("#L4")).to_have_class(re.compile("is-match"))
    expect(button).to_be_disabled()

    make_log_entries(run, ["And again"], level=Level.ERROR)
    expect(button).to_be_enabled()
    expect(button).to_be_focused()


def test_scrolling_up_stops_following_and_counts_new_lines(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 200)
    page = open_log(run)
    expect(page.locator("#L200")).to_be_in_viewport()

    page.evaluate("scrollTo(0, 0)")
    make_log_entries(run, 3)
    waiting = page.locator("#new-lines")
    expect(waiting).to_have_text("3 new lines")
    assert page.evaluate("scrollY") == 0

    waiting.click()
    expect(page.locator("#L203")).to_be_in_viewport()
    expect(waiting).to_be_hidden()
    make_log_entries(run, 1)
    expect(page.locator("#L204")).to_be_in_viewport()


def test_log_is_followed_with_lines_of_any_height(open_log) -> None:
    run = make_run(status=Run.Status.QUEUED, store_pull=True)
    page = open_log(run)
    expect(page.locator("#no-lines")).to_be_visible()
    run.claim("test")

    for number in range(1, 5):
        # The page header grows by a timeline, and each line grows once it is rendered.
        Run.objects.filter(pk=run.pk).update(step_seconds={"pull": number}, pulled_count=number)
        first, last = run.line_count + 1, run.line_count + 12
        for sequence in range(first, last + 1):
            make_payload(run, sequence=sequence)
        make_log_entries(run, [f"Page {line}\n" + "a long message " * 40 for line in range(first, last + 1)])
        expect(page.locator(f"#L{last} .payload-expiry")).to_be_in_viewport()

    expect(page.locator("#new-lines")).to_be_hidden()


def test_scrolling_up_by_one_line_stops_following(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 200)
    page = open_log(run)
    expect(page.locator("#L200")).to_be_in_viewport()

    page.evaluate("scrollBy(0, -30)")
    page.wait_for_timeout(100)
    top = page.evaluate("scrollY")
    make_log_entries(run, 3)

    expect(page.locator("#new-lines")).to_have_text("3 new lines")
    assert page.evaluate("scrollY") == top


def test_log_is_followed_on_a_phone(new_page, log_in) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 100)
    page = new_page(viewport={"width": 390, "height": 844})
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/runs/run/{run.pk}/log/")

    for number in (101, 102):
        make_log_entries(run, 1)
        expect(page.locator(f"#L{number}")).to_be_in_viewport()

    expect(page.locator("#new-lines")).to_be_hidden()
    expect(page.get_by_role("button", name="Auto-refresh is on")).to_be_in_viewport()


def test_earlier_lines_load_on_click_without_moving_the_view(open_log) -> None:
    run = make_run()
    make_log_entries(run, 1100)
    page = open_log(run)
    assert numbers(page)[0] == 601

    page.locator("#earlier").click()

    expect(page.locator("#L101")).to_be_attached()
    assert numbers(page) == list(range(101, 1101))
    expect(page.locator("#L601")).to_be_in_viewport()


def test_middle_of_running_log_counts_and_loads_later_lines(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 500)
    page = open_log(run, "?line=50")
    expect(page.locator("#L50")).to_be_in_viewport()
    expect(page.locator("#log-note")).to_have_text("361 more lines")

    # Scrolling to the link may load the lines and hide it, so it is not clicked with the mouse.
    page.locator("#later").dispatch_event("click")
    expect(page.locator("#L500")).to_be_attached()
    make_log_entries(run, 1)

    expect(page.locator("#L501")).to_be_attached()
    assert numbers(page) == list(range(1, 502))


def test_lost_connection_shows_message_and_misses_no_line(open_log, problems: list[str]) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, 100)
    page = open_log(run)
    page.evaluate("scrollTo(0, 0)")

    page.context.set_offline(True)
    expect(page.locator("#log-note")).to_contain_text("No connection to the server.")
    # The message is visible at any scroll position.
    expect(page.locator("#log-note")).to_be_in_viewport()
    make_log_entries(run, 2)
    page.context.set_offline(False)

    expect(page.locator("#log-note")).to_have_text("Connected again.")
    expect(page.locator("#L102")).to_be_attached()
    assert numbers(page) == list(range(1, 103))
    problems[:] = [problem for problem in problems if "ERR_INTERNET_DISCONNECTED" not in problem]


def test_expired_session_shows_login_message(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING)
    page = open_log(run)

    page.context.clear_cookies()

    expect(page.locator("#log-note")).to_contain_text("You have been logged out. Log in again to continue.")
    expect(page.locator("#refresh")).to_have_text("Auto-refresh is off")


def test_markup_in_live_line_is_escaped(open_log) -> None:
    run = make_run(status=Run.Status.RUNNING)
    page = open_log(run)

    make_log_entries(run, ["<img src=x onerror=\"document.title='injected'\"> <script>1</script>"])

    expect(page.locator("#L1 .line-message")).to_contain_text("<img src=x")
    assert page.locator("#lines img").count() == 0
    assert page.title() != "injected"


def test_line_number_is_a_permanent_link(open_log) -> None:
    run = make_run()
    make_log_entries(run, 10)
    page = open_log(run)

    page.locator("#L7 .line-number").click()

    expect(page).to_have_url(re.compile(r"\?line=7#L7$"))
    expect(page.locator("#L7")).to_have_class(re.compile("is-selected"))


def test_payload_link_downloads_the_file(open_log) -> None:
    run = make_run(store_pull=True)
    make_log_entries(run, 1)
    make_payload(run, sequence=1, name="orders.json", body=b"[1, 2]")
    page = open_log(run)

    with page.expect_download() as download:
        page.get_by_role("link", name="orders.json").click()

    assert download.value.path().read_bytes() == b"[1, 2]"


def test_lines_can_be_read_without_javascript(new_page, log_in) -> None:
    run = make_run()
    make_log_entries(run, 620)
    page = new_page(java_script_enabled=False)
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/runs/run/{run.pk}/log/")

    page.get_by_role("link", name="Earlier lines").click()

    assert numbers(page) == list(range(1, 121))
    expect(page.locator("#refresh")).to_be_hidden()
