"""Script editor of the settings page: typing, errors at their line, keyboard, themes, and the plain textarea."""

import gzip
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Locator, Page, expect

from apps.services.models import Service
from tests.browser.test_accessibility import violations
from tests.factories import make_service, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

SCRIPT = "def transform(records):\n    return records\n"
BUNDLE = Path(settings.BASE_DIR) / "apps/console/static/console/editor/codemirror.js"


@pytest.fixture
def service() -> Service:
    return make_service(script=SCRIPT)


def open_settings(page: Page, log_in, service: Service) -> Locator:
    """Opens the settings page and returns the content of the editor."""
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{service.pk}/change/")
    content = page.locator(".cm-content")
    expect(content).to_be_visible()
    return content


def replace_text(page: Page, content: Locator, *lines: str) -> None:
    """Types the lines, which the editor indents."""
    content.focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    for number, line in enumerate(lines):
        if number:
            page.keyboard.press("Enter")
        page.keyboard.type(line)


def text_of(page: Page) -> str:
    return page.locator("[name=script]").input_value()


def show_error(page: Page, detail: dict[str, object] | None) -> None:
    page.locator("[name=script]").evaluate(
        "(area, detail) => area.dispatchEvent(new CustomEvent('script-error', {detail}))", detail
    )


def test_typed_script_is_indented_highlighted_and_saved(page: Page, log_in, service: Service) -> None:
    content = open_settings(page, log_in, service)
    page.evaluate("document.addEventListener('input', (event) => (window.inputName = event.target.name))")

    replace_text(
        page,
        content,
        "def transform(records):",
        "if records:",
        "pass",
        "else:",
        "log('/ none')",
        "return [",
        "records[0],",
        "]",
    )

    lines = (
        "if records:",
        "    pass",
        "else:",
        "    log('/ none')",
        "    return [",
        "        records[0],",
        "    ]",
    )
    expected = "\n".join(("def transform(records):", *(f"    {line}" for line in lines)))
    assert text_of(page) == expected
    assert page.evaluate("window.inputName") == "script"
    colours = content.locator("span").evaluate_all(
        "(spans) => Object.fromEntries(spans.map((span) => [span.textContent, getComputedStyle(span).color]))"
    )
    assert len({colours[text] for text in ("def", "transform", "'/ none'")}) == 3

    page.locator("[name=_save]").click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert service.current_script().source == expected


def test_selected_lines_are_replaced_by_typed_text(page: Page, log_in, service: Service) -> None:
    """The fixtures assert that the browser reports no CSP violation."""
    content = open_settings(page, log_in, service)
    content.focus()

    page.keyboard.press("Control+a")
    page.keyboard.type("x = 1")

    assert text_of(page) == "x = 1"
    page.keyboard.press("Control+z")
    assert text_of(page) == SCRIPT


def test_invalid_script_shows_its_error_at_the_line(page: Page, log_in, service: Service) -> None:
    content = open_settings(page, log_in, service)
    replace_text(page, content, "def transform(records):", "return unknown")

    page.locator("[name=_save]").click()
    message = page.locator(".cm-error-message")

    expect(message).to_have_text("Variable `unknown` not found")
    expect(page.locator(".cm-error-line")).to_have_text("    return unknown")
    expect(page.locator(".cm-error-mark")).to_have_text("2")
    expect(content).to_have_attribute("aria-invalid", "true")
    page.locator(".cm-error-line").click()
    page.keyboard.press("End")
    page.keyboard.type("1")
    expect(message).to_have_count(0)
    expect(content).to_have_attribute("aria-invalid", "false")


def test_error_event_sets_moves_and_clears_the_error(page: Page, log_in) -> None:
    content = open_settings(page, log_in, make_service(script="x = 1\n" * 300 + SCRIPT))
    line, mark = page.locator(".cm-error-line"), page.locator(".cm-error-mark")
    # Only lines within the window are rendered.
    page.locator(".script-editor").scroll_into_view_if_needed()

    show_error(page, {"line": 302, "message": "key “id” not found"})
    expect(line).to_have_text("    return records")
    expect(page.locator(".cm-error-message")).to_be_visible()
    content.focus()
    page.keyboard.press("Control+Home")
    page.keyboard.press("Enter")
    show_error(page, {"line": 2, "message": "first"})
    page.keyboard.press("Control+Home")
    page.keyboard.press("Enter")
    expect(mark).to_have_text("3")

    show_error(page, {"line": 10**6, "message": "beyond the end"})
    expect(page.locator(".cm-error-message")).to_have_text("beyond the end")
    show_error(page, None)
    expect(line).to_have_count(0)


def test_editor_follows_the_textarea(page: Page, log_in, service: Service) -> None:
    content = open_settings(page, log_in, service)

    page.locator("[name=script]").evaluate(
        "(area) => { area.value = 'restored = 1'; area.dispatchEvent(new Event('input', {bubbles: true})) }"
    )

    expect(content).to_have_text("restored = 1")


def test_editor_is_labelled_and_can_be_left_with_the_keyboard(page: Page, log_in, service: Service) -> None:
    content = open_settings(page, log_in, service)
    expect(content).to_have_accessible_name("Script")
    expect(content).to_have_accessible_description(
        "Tab indents. To leave the editor, press Escape, then Tab."
    )

    page.locator("label[for=id_script]").click()
    expect(content).to_be_focused()
    page.keyboard.press("Control+Home")
    page.keyboard.press("Tab")
    assert text_of(page) == f"    {SCRIPT}"
    # Shortcuts of the page do not apply.
    page.keyboard.type("/")
    expect(content).to_be_focused()

    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(content).not_to_be_focused()
    assert text_of(page) == f"    /{SCRIPT}"


def test_search_panel_is_translated(new_page, log_in, service: Service) -> None:
    page = new_page(locale="de-DE")
    open_settings(page, log_in, service).focus()

    page.keyboard.press("Control+f")

    expect(page.get_by_placeholder("Suchen")).to_be_focused()


def test_editor_has_no_axe_violations(page: Page, log_in, service: Service) -> None:
    open_settings(page, log_in, service).focus()
    show_error(page, {"line": 2, "message": "Variable `x` not found"})
    page.keyboard.press("Control+f")
    expect(page.locator(".cm-panel")).to_be_visible()

    assert violations(page) == []


def test_textarea_remains_without_javascript(new_page, log_in, service: Service) -> None:
    page = new_page(java_script_enabled=False)
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{service.pk}/change/")

    page.locator("[name=script]").fill("def transform(records):\n    return []\n")
    page.locator("[name=_save]").click()

    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert service.current_script().source == "def transform(records):\n    return []\n"


def test_editor_is_small_and_loaded_on_its_page_only(page: Page, log_in, service: Service) -> None:
    files = sum(len(gzip.compress(file.read_bytes())) for file in BUNDLE.parent.glob("*.js"))
    assert files < 150_000

    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    log_in(page, make_user(is_superuser=True))
    for address in ("/admin/", "/admin/services/service/", "/admin/services/connection/add/"):
        page.goto(address)

    assert [url for url in loaded if "/editor/" in url] == []
