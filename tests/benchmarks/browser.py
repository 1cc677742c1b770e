"""Figures of the browser: size of the files of a page, and time of a jump to a line."""

import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from playwright.sync_api import Error, Page, sync_playwright

from tests import factories
from tests.benchmarks.harness import Figure, benchmark
from tests.benchmarks.rows import insert_runs, make_long_run, make_superuser
from tests.benchmarks.web import Web, session_headers
from tests.browser.conftest import ARGUMENTS
from tests.chromium import HOW_TO_INSTALL, chromium_path

LINES = 1_000_000
JUMPS = 20
# Maximum seconds of a jump.
TIMEOUT_SECONDS = 20

# Records when the key was pressed and when the line was painted: in the frame after the one that had it in view. The
# times are in the session storage and since the epoch, because the jump may load another page.
RECORD_JUMP = """
addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
        sessionStorage.setItem("pressed", performance.timeOrigin + event.timeStamp);
    }
}, true);
window.look = () => {
    const line = document.getElementById("L" + sessionStorage.getItem("wanted"));
    const box = line?.getBoundingClientRect();
    if (box && box.top >= 0 && box.bottom <= innerHeight) {
        requestAnimationFrame(() => setTimeout(() => {
            const painted = performance.timeOrigin + performance.now();
            sessionStorage.setItem("took", painted - sessionStorage.getItem("pressed"));
        }));
    } else {
        requestAnimationFrame(window.look);
    }
};
if (sessionStorage.getItem("wanted")) {
    window.look();
}
"""

FILE_SIZES = """
performance.getEntriesByType("resource")
    .filter((entry) => /\\.(css|js)$/.test(new URL(entry.name).pathname))
    .map((entry) => [entry.name, entry.encodedBodySize])
"""


@benchmark("summary_page_kb", "kB", databases=["sqlite"])
def summary_page() -> Figure:
    """CSS and JavaScript of the summary page as transferred, in kB of 1,000 bytes."""
    service = factories.make_service()
    insert_runs(500, services=1, seconds_apart=300)
    return _files_of(reverse("admin:services_service_runs", args=[service.pk]))


@benchmark("workbench_page_kb", "kB", databases=["sqlite"])
def workbench_page() -> Figure:
    """CSS and JavaScript of the settings page of a service, as of the summary page."""
    return _files_of(reverse("admin:services_service_change", args=[factories.make_service().pk]))


def _files_of(url: str) -> Figure:
    with _open_browser(make_superuser()) as page:
        page.goto(url, wait_until="networkidle")
        files = dict(page.evaluate(FILE_SIZES))
    assert files, "The page has no style sheet."
    for name, size in files.items():
        print(f"{size / 1000:.1f} kB {name}")
    return Figure(sum(files.values()) / 1000)


@benchmark("jump_in_1m_lines_ms", "ms", databases=["postgresql"])
def jump() -> Figure:
    """From Enter in "Go to line" to the line being painted, anywhere in a log of 1,000,000 lines."""
    run = make_long_run(LINES)
    numbers = random.Random(1)
    with _open_browser(make_superuser()) as page:
        page.add_init_script(RECORD_JUMP)
        page.goto(reverse("admin:runs_run_log", args=[run.pk]), wait_until="networkidle")
        took = [_jump(page, numbers.randrange(1, LINES)) for _jump_number in range(JUMPS)]
    print(f"Jumps took {', '.join(f'{milliseconds:.0f}' for milliseconds in sorted(took))} ms")
    return Figure(statistics.median(took))


def _jump(page: Page, wanted: int) -> float:
    """Milliseconds of a jump to a distant line."""
    page.evaluate(
        "wanted => { sessionStorage.removeItem('took'); sessionStorage.setItem('wanted', wanted); window.look(); }",
        str(wanted),
    )
    field = page.get_by_label("Go to line", exact=True)
    field.fill(str(wanted))
    field.press("Enter")
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until:
        page.wait_for_timeout(100)
        # While another page loads, evaluate() fails.
        with suppress(Error):
            if (took := page.evaluate("sessionStorage.getItem('took')")) is not None:
                return float(took)
    raise TimeoutError(f"Line {wanted} was not visible within {TIMEOUT_SECONDS} s.")


@contextmanager
def _open_browser(user: User) -> Iterator[Page]:
    """A page of Chromium with a session of `user`; relative URLs lead to Synclog under gunicorn."""
    chromium = chromium_path()
    assert chromium, f"Chromium is not installed; {HOW_TO_INSTALL}"
    call_command("collectstatic", interactive=False, verbosity=0)
    cookie = session_headers(user)["Cookie"]
    # Playwright runs an event loop in this thread, in which Django would refuse queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with Web() as web, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        context = browser.new_context(base_url=web.url, viewport={"width": 1440, "height": 900})
        name, _sign, value = cookie.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": web.url}])
        yield context.new_page()
        browser.close()
