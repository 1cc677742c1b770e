"""Accounts in the browser: passkeys with a virtual authenticator, and the accessibility of all account pages."""

import pytest
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.tokens import default_token_generator
from playwright.sync_api import Page, expect
from pytest_django import Settings

from tests.browser.test_accessibility import check_widths, violations
from tests.factories import make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]
PASSWORD = "a long enough secret"


def add_authenticator(page: Page) -> None:
    """A device that stores passkeys and confirms each request, as with a fingerprint."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def check(page: Page, title: str) -> None:
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    assert violations(page) == []
    check_widths(page, page.url)


def enter_password(page: Page) -> None:
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


def test_passkey_is_added_and_used_as_login_and_as_second_factor(page: Page) -> None:
    make_user("ada", password=PASSWORD)
    add_authenticator(page)
    page.goto("/admin/account/2fa/")
    enter_password(page)
    check(page, "Two-factor authentication")

    page.get_by_role("link", name="Add a passkey").click()
    check(page, "Confirm that it is you")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    check(page, "Add a passkey")
    page.get_by_role("button", name="Add a passkey").click()
    check(page, "Recovery codes")
    for path, title in (
        ("app/add/", "Add an authenticator app"),
        ("recovery-codes/new/", "New recovery codes"),
        ("", "Two-factor authentication"),
    ):
        page.goto(f"/admin/account/2fa/{path}")
        check(page, title)
    page.get_by_role("link", name="Rename Passkey 1").click()
    check(page, "Rename a passkey")
    page.get_by_label("Name").fill("Phone")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Remove Phone").click()
    check(page, "Remove a passkey")

    page.context.clear_cookies()
    page.goto("/admin/help/")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("heading", name="Help", level=1)).to_be_visible()

    page.context.clear_cookies()
    page.goto("/admin/help/")
    enter_password(page)
    check(page, "Second factor")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Help", level=1)).to_be_visible()


def test_pages_of_reset_removal_and_limit_have_no_violations(
    page: Page, problems: list[str], settings: Settings
) -> None:
    settings.HAS_MAIL_SERVER = True
    ada = make_user("ada", password=PASSWORD)
    page.goto("/admin/account/password/")
    check(page, "Reset password")
    page.goto(f"/admin/account/password/{user_pk_to_url_str(ada)}-{default_token_generator.make_token(ada)}/")
    check(page, "New password")
    page.goto("/admin/account/password/done/")
    check(page, "Password changed")

    page.goto("/admin/account/2fa/")
    enter_password(page)
    expect(page.get_by_role("heading", name="Two-factor authentication", level=1)).to_be_visible()
    TOTP.activate(ada, generate_totp_secret())
    page.goto("/admin/account/confirm/code/")
    check(page, "Confirm that it is you")
    page.goto("/admin/account/confirm/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.goto("/admin/account/2fa/app/remove/")
    check(page, "Remove the authenticator app")

    settings.ACCOUNT_RATE_LIMITS = {"login": "1/m/ip"}
    page.context.clear_cookies()
    for _time in range(2):
        page.goto("/admin/login/")
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in", exact=True).click()
    check(page, "Too many requests")
    # The browser logs this response as an error.
    assert ["429 (Too Many Requests)" in problem for problem in problems] == [True]
    problems.clear()
