"""API reference: operations can be executed with a token that the page does not store."""

import pytest
from playwright.sync_api import Page, expect

from apps.api.models import ApiToken
from tests.factories import make_service, make_token

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


def test_api_reference_executes_operation_without_storing_token(new_page) -> None:
    make_service(slug="orders", name="Orders to warehouse")
    _token, token = make_token(scopes=[ApiToken.Scope.RUN_READ])
    page: Page = new_page(color_scheme="dark")
    page.goto("/api/docs/")

    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(token)
    page.get_by_label("Apply credentials").click()
    page.get_by_role("button", name="Close").click()
    operation = page.locator("#operations-services-services_list")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table")).to_contain_text("Orders to warehouse")
    expect(operation.locator(".curl-command")).to_contain_text("/api/v1/services/")
    expect(page.locator("html")).to_have_css("color-scheme", "dark")
    page.emulate_media(color_scheme="light")
    expect(page.locator("html")).to_have_css("color-scheme", "light")
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert token not in stored
