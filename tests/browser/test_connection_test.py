"""Test connection in a real browser: result, running state, cancellation, errors, and the page without JavaScript."""

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from apps.services.models import Connection
from tests.browser.test_accessibility import check_widths, violations
from tests.factories import make_connection, make_user
from tests.services.web import reply_json, serving
from tests.unresponsive_servers import silent_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

SECRET = "s3cret-of-the-shop"
BUTTON = "button[data-trial]"
OUTPUT = "#connection-test"


def respond(request):
    return reply_json([], 200 if request.headers.get("authorization") == f"Bearer {SECRET}" else 401)


def open_form(page: Page, url: str) -> None:
    page.goto("/admin/services/connection/add/")
    page.locator("[name=kind]").select_option("http")
    page.locator("[name=url]").fill(url)


def test_unsaved_values_are_tested_and_kept(page: Page, log_in) -> None:
    log_in(page, make_user(is_superuser=True))
    with serving(respond) as web:
        open_form(page, web.url)
        page.locator(BUTTON).click()
        expect(page.locator(OUTPUT)).to_contain_text("Failed at: Request")
        expect(page.locator(OUTPUT)).to_contain_text("The system requires authentication")
        assert violations(page) == []

        page.locator("[name=auth]").select_option("bearer")
        page.locator("[name=secret]").fill(SECRET)
        page.locator(BUTTON).click()
        expect(page.locator(OUTPUT)).to_contain_text("The connection works")
        output, bar = page.locator(OUTPUT).bounding_box(), page.locator(".submit-row").bounding_box()
        assert output["y"] + output["height"] <= bar["y"], "the result is covered by the save buttons"

    check_widths(page, "test of a connection")
    assert violations(page) == []
    assert page.locator("[name=secret]").input_value() == SECRET
    assert Connection.objects.count() == 0

    # Enter still saves.
    page.locator("[name=name]").fill("shop")
    page.locator("[name=name]").press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("was added successfully")
    assert Connection.objects.get().get_secret() == SECRET


def test_hanging_test_is_cancelled(page: Page, log_in) -> None:
    log_in(page, make_user(is_superuser=True))
    with silent_server() as port:
        open_form(page, f"http://127.0.0.1:{port}")
        page.locator(BUTTON).click()
        expect(page.locator(f"{OUTPUT} [data-seconds]")).to_have_text("1 s")
        assert violations(page) == []
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(OUTPUT)).to_contain_text("Cancelled.")
        expect(page.locator(BUTTON)).to_be_focused()


def test_error_states_keep_what_was_entered(page: Page, log_in, live_server, problems: list[str]) -> None:
    user = make_user(permissions=["services.add_connection"])
    log_in(page, user)
    open_form(page, "http://127.0.0.1:9")

    page.context.set_offline(True)
    page.locator(BUTTON).click()
    expect(page.locator(OUTPUT)).to_contain_text("Synclog cannot be reached")
    page.context.set_offline(False)

    user.user_permissions.clear()
    page.locator(BUTTON).click()
    expect(page.locator(OUTPUT)).to_contain_text("You may not do this")
    # The browser logs both.
    problems.clear()

    Session.objects.all().delete()
    page.locator(BUTTON).click()
    expect(page.locator(OUTPUT)).to_contain_text("Your session has expired")
    assert violations(page) == []

    user.is_superuser = True
    user.save()
    log_in(page, user)
    # A new session has a new token.
    page.context.add_cookies([{"name": "csrftoken", "value": "a" * 32, "url": live_server.url}])
    page.locator(BUTTON).click()
    expect(page.locator(OUTPUT)).to_contain_text("Failed at: Connect")
    assert page.locator("[name=url]").input_value() == "http://127.0.0.1:9"


def test_result_opens_in_a_new_tab_without_javascript(new_page, log_in) -> None:
    page = new_page(java_script_enabled=False)
    log_in(page, make_user(is_superuser=True))
    connection = make_connection(name="shop")
    page.goto(f"/admin/services/connection/{connection.pk}/change/")

    with page.context.expect_page() as opened:
        page.locator(BUTTON).click()

    result = opened.value
    expect(result.locator("h1")).to_have_text("Test connection")
    expect(result.locator(".connection-test-page")).to_contain_text("Failed at: Connect")
