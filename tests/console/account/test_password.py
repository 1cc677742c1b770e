"""Passwords and sessions: reset by mail, change, and sessions that end."""

import re
import threading

import pytest
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.test import Client
from pytest_django import Settings

from tests.console.account.test_login import PASSWORD, log_in, make_ada
from tests.factories import make_user

pytestmark = pytest.mark.django_db
RESET = "/admin/account/password/"
SESSIONS = "/admin/account/sessions/"
NEW_PASSWORD = "another long secret"


@pytest.fixture
def ada() -> User:
    return make_ada(email="Ada@example.com")


@pytest.fixture
def mail_server(settings: Settings) -> None:
    settings.HAS_MAIL_SERVER = True


def request_reset(client: Client, address: str) -> bytes:
    response = client.post(RESET, {"email": address}, follow=True)
    for thread in threading.enumerate():
        if thread.name == "account mail":
            thread.join()
    return response.content


def link_in(mail: EmailMessage) -> str:
    return re.search(r"https?://[^/]+(/admin/account/password/\S+/)", mail.body)[1]


def set_password(client: Client, link: str, password: str) -> int:
    address = client.get(link).get("Location", link)
    return client.post(address, {"password1": password, "password2": password}).status_code


@pytest.mark.usefixtures("mail_server")
def test_mailed_link_sets_a_new_password_once(ada: User, mailoutbox: list[EmailMessage]) -> None:
    client = Client()
    log_in(client, "ada")
    request_reset(Client(), "ada@EXAMPLE.com")
    [mail] = mailoutbox

    assert (mail.to, mail.subject) == (["ada@example.com"], "Synclog: reset password")
    assert "the account ada." in mail.body
    assert set_password(Client(), link_in(mail), "short") == 200
    assert set_password(Client(), link_in(mail), NEW_PASSWORD) == 302
    assert "has been used" in Client().get(link_in(mail)).content.decode()
    assert client.get("/admin/").status_code == 302
    assert log_in(Client(), "ada").status_code == 200
    assert log_in(Client(), "ada", NEW_PASSWORD).status_code == 302


@pytest.mark.usefixtures("mail_server")
def test_reset_does_not_reveal_accounts_and_sends_no_mail_to_others(
    ada: User, mailoutbox: list[EmailMessage]
) -> None:
    make_user("gone", email="gone@example.com", password=PASSWORD, is_active=False)
    make_user("guest", email="guest@example.com", password=PASSWORD, is_staff=False)
    make_user("provider", email="provider@example.com")
    User.objects.filter(username="provider").update(password="!")
    addresses = ("ada", "nobody", "gone", "guest", "provider")

    pages = {request_reset(Client(), f"{name}@example.com") for name in addresses}

    assert len(pages) == 1
    assert [mail.to for mail in mailoutbox] == [["ada@example.com"]]


@pytest.mark.usefixtures("mail_server")
def test_link_has_the_configured_address_and_mails_are_limited(
    ada: User, settings: Settings, mailoutbox: list[EmailMessage]
) -> None:
    settings.BASE_URL = "https://synclog.example/"

    pages = [request_reset(Client(), "ada@example.com") for _number in range(4)]

    assert all("https://synclog.example/admin/account/password/" in mail.body for mail in mailoutbox)
    assert len(mailoutbox) == 3
    assert "Too many requests" in pages[3].decode()


def test_reset_says_that_mail_is_not_configured(ada: User, mailoutbox: list[EmailMessage]) -> None:
    page = request_reset(Client(), "ada@example.com").decode()

    assert "EMAIL_URL is not set" in page
    assert mailoutbox == []


def test_change_of_the_password_ends_all_other_sessions(ada: User) -> None:
    client, other = Client(), Client()
    log_in(client, "ada")
    log_in(other, "ada")
    fields = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

    wrong = client.post("/admin/password_change/", {"oldpassword": "x", **fields})
    changed = client.post("/admin/password_change/", {"oldpassword": PASSWORD, **fields}, follow=True)

    assert wrong.status_code == 200
    assert "The password is changed." in changed.content.decode()
    assert other.get("/admin/").status_code == 302
    page = client.get(SESSIONS).content.decode()
    assert (page.count("This browser"), page.count("End session")) == (1, 0)


def test_user_without_password_cannot_set_one(client: Client) -> None:
    user = make_user("provider")
    user.set_unusable_password()
    user.save()
    client.force_login(user)

    assert client.get("/admin/password_change/")["Location"] == "/admin/"
    assert client.get("/admin/account/2fa/app/add/").status_code == 403
    assert "identity provider" in client.get("/admin/account/2fa/").content.decode()


def test_sessions_are_listed_newest_first_and_end(ada: User) -> None:
    windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36 Edg/150.0"
    phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 Version/26.0 Safari/604.1"
    make_user("bob", password=PASSWORD)
    bob, client, desktop, mobile = (
        Client(),
        Client(),
        *(Client(headers={"user-agent": a}) for a in (windows, phone)),
    )
    log_in(bob, "bob")
    for each in (client, desktop, mobile):
        log_in(each, "ada")

    page = client.get(SESSIONS).content.decode()

    assert re.findall(r"<strong>(.*?)</strong>", page) == [
        "Safari on iPhone",
        "Edge on Windows",
        "Unknown browser",
    ]
    second, first = re.findall(r'action="(\S+/end/)"', page)
    assert bob.post(first).status_code == 404
    assert desktop.get("/admin/").status_code == 200
    assert client.post(first)["Location"] == SESSIONS
    assert desktop.get("/admin/").status_code == 302
    assert mobile.get("/admin/").status_code == 200
    client.post(SESSIONS)
    assert mobile.get("/admin/").status_code == 302
    assert [each.get("/admin/").status_code for each in (client, bob)] == [200, 200]
    assert client.get(second).status_code == 405
