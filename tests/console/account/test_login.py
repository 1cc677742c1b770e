"""Login: redirects, rate limits by account and address, signals, and what must not be revealed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.cache import caches
from django.dispatch import Signal
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver
from pytest_django import Settings

from apps.audit.models import AuditEvent
from config.broker import caches as caches_for
from config.client_address import client_address_middleware
from config.failover_cache import FailoverCache
from tests.factories import make_user
from tests.servers import RedisServer

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/"
PASSWORD = "a long enough secret"


def log_in(client: Client, username: str, password: str = PASSWORD, **fields: str) -> Any:
    return client.post(LOGIN, {"username": username, "password": password, **fields})


def make_ada(**options: Any) -> User:
    return make_user("ada", password=PASSWORD, **options)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/admin/services/service/?q=a", "/admin/services/service/?q=a"),
        ("//evil.example/", "/admin/"),
        ("https://evil.example/", "/admin/"),
        ("", "/admin/"),
    ],
)
def test_login_leads_to_the_requested_page_of_this_site(client: Client, target: str, expected: str) -> None:
    make_ada()

    response = log_in(client, "ada", next=target)

    assert (response.status_code, response["Location"]) == (302, expected)


def test_visitor_is_led_to_the_login_page_and_back(client: Client) -> None:
    make_ada()
    refused = client.get("/admin/help/?q=token")

    response = client.post(
        refused["Location"], {"username": "ada", "password": PASSWORD, "next": "/admin/help/?q=token"}
    )

    assert refused["Location"] == "/admin/login/?next=/admin/help/%3Fq%3Dtoken"
    assert response["Location"] == "/admin/help/?q=token"
    assert client.session.get_expiry_age() > 24 * 3600
    assert client.get(LOGIN)["Location"] == "/admin/"


def test_unknown_user_wrong_password_and_inactive_user_look_the_same(client: Client) -> None:
    make_ada()
    make_user("bob", password=PASSWORD, is_active=False)

    pages = [
        log_in(client, username, password).content.decode().replace(username, "NAME")
        for username, password in (("ada", "wrong"), ("nobody", "wrong"), ("bob", PASSWORD), ("bob", "wrong"))
    ]

    assert "Wrong username or password." in pages[0]
    assert len({page.partition('name="csrfmiddlewaretoken"')[0] for page in pages}) == 1


def test_user_without_access_is_refused_and_such_a_session_ends(client: Client) -> None:
    user = make_ada(is_staff=False)

    response = client.post(LOGIN, {"username": "ada", "password": PASSWORD}, follow=True)

    assert "This account has no access to the console." in response.content.decode()
    assert "_auth_user_id" not in client.session
    assert [*AuditEvent.objects.values_list("action", "user", "address")] == [
        ("login_failed", user.pk, "127.0.0.1")
    ]
    client.force_login(user)
    assert client.get("/admin/", follow=True).redirect_chain == [("/admin/login/?next=/admin/", 302)]
    assert "_auth_user_id" not in client.session


def test_failed_logins_of_an_account_are_limited_from_all_addresses(client: Client) -> None:
    make_ada()
    make_user("bob", password=PASSWORD)
    for number in range(10):
        name = "Ada" if number % 2 else "ada"
        response = client.post(
            LOGIN,
            {"username": name, "password": "wrong"},
            REMOTE_ADDR=f"192.0.2.{number}",
            HTTP_HOST="localhost",
        )
        assert response.status_code == 200

    refused = log_in(client, "ada")

    assert (refused.status_code, refused["Retry-After"]) == (429, "600")
    assert "Too many attempts" in refused.content.decode()
    assert log_in(client, "bob").status_code == 302


def test_failed_logins_of_an_address_are_limited_for_all_accounts(client: Client) -> None:
    make_ada()
    statuses = [log_in(client, f"user-{number}", "wrong").status_code for number in range(21)]

    assert statuses == [200] * 20 + [429]
    assert log_in(client, "ada").status_code == 429
    elsewhere = client.post(LOGIN, {"username": "ada", "password": PASSWORD}, REMOTE_ADDR="192.0.2.7")
    assert elsewhere.status_code == 302


def test_attempts_beyond_the_limit_are_recorded(client: Client) -> None:
    user = make_ada()
    for _attempt in range(10):
        log_in(client, "ada", "wrong")

    assert log_in(client, "ada").status_code == 429
    assert [*AuditEvent.objects.values_list("action", "user", "address", "count")] == [
        ("login_failed", user.pk, "127.0.0.1", 11)
    ]


def test_successful_logins_do_not_count_as_failures(client: Client) -> None:
    make_ada()

    assert {log_in(Client(), "ada").status_code for _number in range(25)} == {302}


@contextmanager
def received(*signals: Signal) -> Iterator[list[tuple[Signal, dict[str, Any]]]]:
    events: list[tuple[Signal, dict[str, Any]]] = []

    def note(signal: Signal, **details: Any) -> None:
        events.append((signal, details))

    for signal in signals:
        signal.connect(note)
    yield events
    for signal in signals:
        signal.disconnect(note)


def test_login_failed_login_and_logout_send_signals_of_django(client: Client) -> None:
    user = make_ada()

    with received(user_logged_in, user_login_failed, user_logged_out) as events:
        log_in(client, "ada", "a wrong secret")
        log_in(client, "ada")
        response = client.post("/admin/logout/")

    assert response["Location"] == LOGIN
    assert client.get("/admin/logout/").status_code == 405
    assert [signal for signal, _details in events] == [user_login_failed, user_logged_in, user_logged_out]
    assert events[0][1]["credentials"]["username"] == "ada"
    assert "a wrong secret" not in str(events[0][1])
    assert [details["user"] for _signal, details in events[1:]] == [user, user]
    assert all(details["request"].META["REMOTE_ADDR"] == "127.0.0.1" for _signal, details in events)


def test_only_wanted_pages_of_allauth_exist() -> None:
    names = {str(name) for name in get_resolver().reverse_dict if isinstance(name, str)}

    assert {name for name in names if name.startswith(("account_", "socialaccount_"))} == {
        "account_login",
        "account_logout",
        "account_reauthenticate",
        "account_change_password",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key",
        "account_reset_password_from_key_done",
    }


def test_processes_share_the_limits_through_redis_and_fall_back_to_files(
    redis_server: RedisServer, tmp_path: Any
) -> None:
    class Cache(FailoverCache):
        """A cache that does not share its pause with other tests."""

    settings = caches_for(redis_server.url, tmp_path)["default"]
    first, second = (Cache(settings["LOCATION"], settings) for _process in range(2))

    first.set("failures", [1])
    assert second.get("failures") == [1]
    assert first.delete("failures")
    assert second.get("failures") is None

    gone = caches_for("redis://127.0.0.1:1/0", tmp_path)["default"]
    first, second = (Cache(gone["LOCATION"], gone) for _process in range(2))
    first.set("failures", [2])
    assert (second.get("failures"), second.add("failures", [3])) == ([2], False)


@pytest.mark.parametrize(
    ("proxies", "header", "expected"),
    [
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (2, "198.51.100.1, 203.0.113.9, 192.0.2.1", "203.0.113.9"),
        (2, "203.0.113.9", "127.0.0.1"),
        (1, "unknown", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "2001:db8::1", "2001:db8::1"),
    ],
)
def test_address_of_a_client_behind_proxies(
    settings: Settings, proxies: int, header: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", HTTP_X_FORWARDED_FOR=header)

    client_address_middleware(lambda _request: HttpResponse())(request)

    assert request.META["REMOTE_ADDR"] == expected


def test_limits_of_the_embedded_mode_are_shared_by_files() -> None:
    assert caches["default"].__class__.__name__ == "FileBasedCache"
