"""Accessibility: no axe-core violations in the light and the dark theme, and the whole journey by keyboard."""

from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from apps.runs.models import Run
from tests.browser.pages import all_pages, furnish, main_pages
from tests.factories import make_run, make_service, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

AXE = files("axe_playwright_python").joinpath("axe.min.js")
VIOLATIONS = """
async (options) => (await axe.run(document, options)).violations.flatMap(
    (rule) => rule.nodes.map((node) => `${rule.id}: ${node.target} ${node.failureSummary}`))
"""
# Only colours differ between the light and the dark theme.
COLOURS = {"runOnly": ["color-contrast"]}


# Violations of Django's own widgets: icons of its choosers, and table columns without a heading.
OF_DJANGO = (
    "aria-prohibited-attr: label",
    "aria-prohibited-attr: #id_user_permissions",
    "empty-table-header: ",
)


def violations(page: Page) -> list[str]:
    """Violations that axe-core finds in the light theme, and of colours in the dark one.

    The script is evaluated, because the policy forbids to load it.
    """
    page.evaluate(AXE.read_text())
    found: list[str] = []
    for scheme, options in (("light", {}), ("dark", COLOURS)):
        # Without the transitions of colours.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found += page.evaluate(VIOLATIONS, options)
    return found


def test_pages_have_no_axe_violations(page: Page, sign_in, problems: list[str]) -> None:
    service = furnish()
    main = main_pages(service).values()
    sign_in(page, make_user(is_superuser=True))

    found = []
    for address in all_pages(service):
        page.goto(address)
        allowed = () if address in main else OF_DJANGO
        found += [(address, text) for text in violations(page) if not text.startswith(allowed)]

    assert found == []
    # Pages that nobody may open.
    problems[:] = [text for text in problems if "403" not in text]


def test_open_menus_and_the_login_have_no_axe_violations(new_page, sign_in) -> None:
    service = furnish()
    page = new_page(viewport={"width": 390, "height": 844})
    page.goto("/admin/login/")
    assert violations(page) == []

    sign_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{service.pk}/runs/")
    page.locator(".menu-button").first.click()
    assert violations(page) == []


def test_axe_finds_what_is_wrong(page: Page) -> None:
    page.goto("/admin/login/")
    page.evaluate("document.querySelector('#id_username').previousElementSibling.remove()")

    assert any(text.startswith("label") for text in violations(page))


def test_whole_journey_by_keyboard_alone(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.runs.tasks.notify_workers", lambda run_id: None)
    make_service(name="Orders to warehouse")
    make_user("ada", password="a long enough secret", is_superuser=True)
    keys = page.keyboard

    # In, and from the sidebar to the list.
    page.goto("/admin/services/service/")
    keys.type("ada")
    keys.press("Tab")
    keys.type("a long enough secret")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Services", exact=True)).to_be_visible()
    tab_to(page, "Actions for Orders to warehouse")
    assert focus_is_visible(page)

    # The menu opens, closes and gives the focus back.
    keys.press("ArrowDown")
    expect(page.get_by_role("link", name="View logs")).to_be_focused()
    keys.press("Escape")
    expect(page.get_by_role("button", name="Actions for Orders to warehouse")).to_be_focused()
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    keys.press("Enter")
    page.wait_for_url("**/run/")

    # A switch, and the run.
    tab_to(page, "Store pull payloads")
    assert focus_is_visible(page)
    keys.press("Space")
    tab_to(page, "Start run")
    keys.press("Enter")
    page.wait_for_url("**/log/")
    tab_to(page, "Auto-refresh is on")
    assert focus_is_visible(page)
    keys.press("Enter")
    expect(page.get_by_role("button", name="Auto-refresh is off")).to_be_focused()
    run = Run.objects.get()
    assert run.stores == ("pull",)

    # Back to the summary, and from the run's menu to the log again.
    tab_to(page, "Orders to warehouse", backwards=True)
    keys.press("Enter")
    page.wait_for_url("**/runs/")
    tab_to(page, f"Actions for Run {run.pk}")
    keys.press("ArrowDown")
    expect(page.get_by_role("link", name="More details")).to_be_focused()
    keys.press("Enter")
    page.wait_for_url(f"**/runs/run/{run.pk}/log/")


def test_days_of_the_chart_are_told_by_pointer_and_by_keys(page: Page, sign_in) -> None:
    run = make_run(pulled_count=1234)
    sign_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{run.service_id}/runs/")
    value = page.locator(".chart-value")
    expect(value).to_be_hidden()

    page.locator(".chart-frame").focus()
    expect(value).to_contain_text("1,234 pulled")
    page.keyboard.press("ArrowLeft")
    expect(value).to_contain_text("0 pulled")
    page.keyboard.press("Escape")
    expect(value).to_be_hidden()

    page.locator("[data-day] .chart-hit").last.hover(force=True)
    expect(value).to_contain_text("1,234 pulled")


def tab_to(page: Page, name: str, *, backwards: bool = False) -> None:
    """Tab until the focus stands on what is called `name`."""
    for _step in range(80):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        if page.evaluate(
            """(name) => {
                const at = document.activeElement;
                const label = at.getAttribute("aria-label") ?? at.labels?.[0]?.textContent ?? at.textContent;
                return label.trim() === name;
            }""",
            name,
        ):
            return
    pytest.fail(f"No key led to “{name}” on {page.url}")


def focus_is_visible(page: Page) -> bool:
    """Whether what has the focus is outlined and in sight."""
    visible: bool = page.evaluate(
        """() => {
            const box = document.activeElement.getBoundingClientRect();
            const style = getComputedStyle(document.activeElement);
            return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1
                && box.top >= 0 && box.bottom <= innerHeight;
        }"""
    )
    return visible
