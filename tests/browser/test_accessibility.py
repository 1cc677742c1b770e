"""Every page fits narrow and wide screens, without violations of CSP and axe-core; the main workflow by keyboard."""

from importlib.resources import files

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from apps.runs.models import Run
from apps.services.models import Service
from tests.browser.pages import all_pages, create_data, filtered_pages, main_pages
from tests.factories import make_run, make_service, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

AXE = files("axe_playwright_python").joinpath("axe.min.js")
VIOLATIONS = """
async (options) => (
    await axe.run(document, {resultTypes: ["violations"], preload: false, ...options})
).violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target} ${node.failureSummary}`))
"""
# Only colours differ between the light and the dark theme.
COLOURS = {"runOnly": ["color-contrast"]}

# Violations of Django's widgets: icons of its selectors, and table columns without a heading.
OF_DJANGO = (
    "aria-prohibited-attr: label",
    "aria-prohibited-attr: #id_user_permissions",
    "empty-table-header: ",
)

# Parts of the pages, each with a time limit of its own.
PARTS = 3
WIDTHS = (390, 1024, 1280, 1440, 2560)
# Of the pages that consist of Django's components.
EXTREME_WIDTHS = (390, 2560)

# Width of the page, lists that are cut although they become cards on a phone (the whole row with its menu is shown,
# without horizontal scrolling), and fields that overflow the card of their form.
LAYOUT = """() => [
    document.documentElement.scrollWidth,
    [...document.querySelectorAll(".stacking .results, .table-card.stacking")]
        .filter((list) => list.scrollWidth > list.clientWidth).length,
    [...document.querySelectorAll("fieldset.module :is(input, select, textarea, label)")].filter((field) => {
        const { right, width } = field.getBoundingClientRect();
        return width > 1 && right > field.closest("fieldset").getBoundingClientRect().right;
    }).map((field) => field.outerHTML.slice(0, 80)),
]"""


def violations(page: Page, *, themes: tuple[str, ...] = ("light", "dark")) -> list[str]:
    """Returns the violations that axe-core finds in the light theme, and colour violations in the dark one.

    The script is evaluated, because the CSP forbids loading it.
    """
    page.evaluate(AXE.read_text())
    found: list[str] = []
    for scheme in themes:
        options = COLOURS if scheme == "dark" else {}
        # Disables colour transitions.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found += page.evaluate(VIOLATIONS, options)
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_pages_fit_every_width_and_have_no_violations(
    page: Page, log_in, problems: list[str], part: int
) -> None:
    service = create_data()
    main, addresses = main_pages(service).values(), all_pages(service)
    log_in(page, make_user(is_superuser=True, password="a long enough secret"))

    assert len(addresses) > 30
    found = []
    visited = set()
    for address in addresses[part::PARTS]:
        status = page.goto(address).status
        assert (address, status in {200, 403}) == (address, True)
        # Every forbidden page is the same, and some addresses redirect to a page of the list.
        shown = page.url if status == 200 else str(status)
        if shown in visited:
            continue
        visited.add(shown)
        if address in main:
            check_widths(page, address)
            found += [(address, text) for text in violations(page)]
        else:
            # The components of these pages are Django's; their colours come from the same tokens.
            check_widths(page, address, EXTREME_WIDTHS)
            others = violations(page, themes=("light",))
            found += [(address, text) for text in others if not text.startswith(OF_DJANGO)]

    assert found == []
    # Some pages are forbidden for every user; the browser logs these responses as errors.
    refusals = ("403 (Forbidden)", "/favicon.ico")
    problems[:] = [problem for problem in problems if not any(text in problem for text in refusals)]


def test_filtered_and_empty_pages_fit_every_width(page: Page, log_in) -> None:
    service = create_data()
    log_in(page, make_user(is_superuser=True))
    for address in filtered_pages(service):
        page.goto(address)
        check_widths(page, address, EXTREME_WIDTHS)


def check_widths(page: Page, address: str, widths: tuple[int, ...] = WIDTHS) -> None:
    for width in widths:
        page.set_viewport_size({"width": width, "height": 200})
        assert (address, page.evaluate(LAYOUT)) == (address, [width, 0, []])


def test_open_menu_and_pages_before_the_login_have_no_axe_violations(new_page, log_in) -> None:
    service = create_data()
    page = new_page(viewport={"width": 390, "height": 844})
    for address in ("login/", "account/password/", "account/password/sent/", "account/password/1-invalid/"):
        page.goto(f"/admin/{address}")
        assert (address, violations(page)) == (address, [])
        check_widths(page, address)

    page.set_viewport_size({"width": 390, "height": 844})
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{service.pk}/runs/")
    page.locator(".menu-button").first.click()
    assert violations(page) == []


def test_first_steps_and_edit_conflict_have_no_violations(page: Page, log_in) -> None:
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/")
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    assert violations(page) == []
    check_widths(page, "/admin/")

    service = make_service(script="def transform(records):\n    return records\n")
    page.goto(f"/admin/services/service/{service.pk}/change/")
    Service.objects.update(name="Changed meanwhile")
    service.set_script("# changed meanwhile\n" * 50)
    page.locator("[name=name]").fill("Typed")
    page.locator("[name=_save]").click()
    expect(page.locator(".edit-conflict")).to_contain_text("Changed meanwhile")
    assert [text for text in violations(page) if not text.startswith(OF_DJANGO)] == []
    check_widths(page, "edit conflict")

    Session.objects.all().delete()
    page.locator("[name=_save]").click()
    expect(page.locator("#session-dialog")).to_contain_text("Your session has expired")
    assert [text for text in violations(page) if not text.startswith(OF_DJANGO)] == []


def test_axe_reports_missing_label(page: Page) -> None:
    page.goto("/admin/login/")
    page.evaluate("document.querySelector('#id_username').previousElementSibling.remove()")

    assert any(text.startswith("label") for text in violations(page))


def test_main_workflow_works_with_the_keyboard(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.runs.tasks.notify_workers", lambda run_id: None)
    make_service(name="Orders to warehouse")
    make_user("ada", password="a long enough secret", is_superuser=True)
    keys = page.keyboard

    # Log in and move to the list of services.
    page.goto("/admin/services/service/")
    expect(page.get_by_label("Username")).to_be_focused()
    keys.type("ada")
    keys.press("Tab")
    keys.type("a long enough secret")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Services", exact=True)).to_be_visible()
    tab_to(page, "Actions for Orders to warehouse")
    assert focus_is_visible(page)

    # The menu opens, closes and returns the focus.
    keys.press("ArrowDown")
    expect(page.get_by_role("link", name="View logs")).to_be_focused()
    keys.press("Escape")
    expect(page.get_by_role("button", name="Actions for Orders to warehouse")).to_be_focused()
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    keys.press("Enter")
    page.wait_for_url("**/run/")

    # Turn a switch on and start the run.
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

    # Go back to the summary, and from the run's menu to the log.
    tab_to(page, "Orders to warehouse", backwards=True)
    keys.press("Enter")
    page.wait_for_url("**/runs/")
    tab_to(page, f"Actions for Run {run.pk}")
    keys.press("ArrowDown")
    expect(page.get_by_role("link", name="More details")).to_be_focused()
    keys.press("Enter")
    page.wait_for_url(f"**/runs/run/{run.pk}/log/")


def test_chart_shows_values_on_hover_and_by_keyboard(page: Page, log_in) -> None:
    run = make_run(pulled_count=1234)
    log_in(page, make_user(is_superuser=True))
    page.goto(f"/admin/services/service/{run.service_id}/runs/")
    value = page.locator(".chart-tooltip")
    expect(value).to_be_hidden()

    page.locator(".chart-frame").focus()
    expect(value).to_contain_text("1,234 pulled")
    page.keyboard.press("ArrowLeft")
    expect(value).to_contain_text("0 pulled")
    page.keyboard.press("Escape")
    expect(value).to_be_hidden()

    page.locator("[data-day] .chart-hover-area").last.hover(force=True)
    expect(value).to_contain_text("1,234 pulled")


def tab_to(page: Page, name: str, *, backwards: bool = False) -> None:
    """Presses Tab until the element with this name has the focus."""
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
    pytest.fail(f"“{name}” cannot be reached by keyboard on {page.url}")


def focus_is_visible(page: Page) -> bool:
    """Whether the focused element has an outline and is in view."""
    visible: bool = page.evaluate(
        """() => {
            const box = document.activeElement.getBoundingClientRect();
            const style = getComputedStyle(document.activeElement);
            return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1
                && box.top >= 0 && box.bottom <= innerHeight;
        }"""
    )
    return visible
