"""A real browser with a real server. A test fails if one of its pages logged an error or a CSP violation."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright._impl.assertions import LocatorAssertions
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

# Timeout in milliseconds, long enough for a busy machine.
TIMEOUT = 20_000
expect.set_options(timeout=TIMEOUT)

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Expectations that can be met without an element.
WITHOUT_ELEMENT = {"to.be.hidden", "to.be.detached", "to.have.count"}

REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => {
    console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
});
"""


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """The browser of this package; its event loop would affect tests of other packages."""
    with pytest.MonkeyPatch.context() as patch:
        # Playwright runs an event loop in this thread, in which Django would forbid queries.
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
            yield browser
            browser.close()


@pytest.fixture(scope="package", autouse=True)
def quick_expectations() -> Iterator[None]:
    """Waits until the element exists before `expect` checks it.

    `expect` describes the whole page whenever it finds no element, which is slow with many log lines.
    """
    call_expect = LocatorAssertions._call_expect

    async def wait_and_expect(self: Any, expression: str, options: Any, title: str | None) -> Any:
        if not (self._is_not or expression in WITHOUT_ELEMENT or expression.endswith(".array")):
            await self._actual_locator.wait_for(state="attached", timeout=options["timeout"])
        return await call_expect(self, expression, options, title)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocatorAssertions, "_call_expect", wait_and_expect)
        yield


@pytest.fixture
def problems() -> list[str]:
    """Errors of all browser consoles; a test that provokes an error removes it."""
    return []


@pytest.fixture
def new_page(browser: Browser, problems: list[str], live_server: Any) -> Iterator[Callable[..., Page]]:
    """Creates pages, each in its own context with the given options: `new_page(color_scheme="dark")`.

    Relative URLs belong to the live server.
    """
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> Page:
        context = browser.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", lambda message: _record_error(message, problems))
        context.on("weberror", lambda error: problems.append(str(error.error)))
        return context.new_page()

    yield make
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    return new_page()


@pytest.fixture
def log_in(live_server: Any) -> Callable[[Page, User], None]:
    """Logs a user in without the login form: `log_in(page, user)`."""

    def add_session_cookie(page: Page, user: User) -> None:
        client = Client()
        client.force_login(user)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}]
        )

    return add_session_cookie


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Adds the marker `browser` to every test that uses the browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


def _record_error(message: ConsoleMessage, problems: list[str]) -> None:
    if message.type == "error":
        problems.append(f"{message.text} ({message.location.get('url', '')})")
