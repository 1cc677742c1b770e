"""Login through a real OpenID provider: groups, refusals, errors, and the configuration."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.providers import registry
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from apps.audit.models import OPENID_PROVIDER, Action, AuditEvent
from apps.runs.monitoring.doctor import run_checks
from config.openid_connect import OpenIDProvider, openid_provider
from tests.console.account.test_login import PASSWORD, log_in
from tests.factories import make_user
from tests.servers import OpenIDServer

pytestmark = pytest.mark.django_db
LOGIN = "/admin/account/provider/login/"
CALLBACK = "http://testserver/admin/account/provider/callback/"


@pytest.fixture(scope="session")
def openid_server() -> Iterator[OpenIDServer]:
    with OpenIDServer() as server:
        yield server


@pytest.fixture
def provider(
    openid_server: OpenIDServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> OpenIDProvider:
    client_id, client_secret = openid_server.register_client(CALLBACK)
    environment = {
        "SYNCLOG_OIDC_ISSUER": openid_server.url,
        "SYNCLOG_OIDC_CLIENT_ID": client_id,
        "SYNCLOG_OIDC_CLIENT_SECRET": client_secret,
        "SYNCLOG_OIDC_GROUPS": "idp-support=Support, idp-operators = Operators",
        "SYNCLOG_OIDC_NAME": "Example SSO",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # The app of the provider is installed only if it is configured when the process starts.
    monkeypatch.setitem(registry.provider_map, "openid_connect", OpenIDConnectProvider)
    configured = openid_provider()
    assert configured is not None
    configure(settings, configured)
    for name in ("Support", "Operators", "Local"):
        Group.objects.create(name=name)
    return configured


def configure(settings: Settings, provider: OpenIDProvider) -> None:
    settings.OPENID_PROVIDER = provider
    settings.SOCIALACCOUNT_PROVIDERS = provider.for_allauth()


def log_in_through(
    server: OpenIDServer, client: Client, subject: str | None, target: str = ""
) -> HttpResponse:
    started = client.get(LOGIN, {"next": target} if target else {})
    assert started.status_code == 302
    callback = urlsplit(server.authorize(started["Location"], subject))
    return client.get(f"{callback.path}?{callback.query}")


def group_names(user: User) -> list[str]:
    return sorted(user.groups.values_list("name", flat=True))


def test_groups_are_added_and_removed_at_each_login(
    openid_server: OpenIDServer, provider: OpenIDProvider
) -> None:
    server = openid_server
    server.set_user(
        "u-1",
        preferred_username="grace",
        email="grace@example.com",
        given_name="Grace",
        groups=["idp-support", "idp-operators", "unrelated"],
    )
    client = Client()

    first = log_in_through(server, client, "u-1", "/admin/help/")

    user = User.objects.get()
    assert first["Location"] == "/admin/help/"
    assert client.get("/admin/help/").status_code == 200
    assert (user.username, user.email, user.first_name) == ("grace", "grace@example.com", "Grace")
    assert (user.is_staff, user.is_superuser, user.has_usable_password()) == (True, False, False)
    assert group_names(user) == ["Operators", "Support"]
    assert client.session.get_expiry_age() <= 12 * 3600

    user.groups.add(Group.objects.get(name="Local"))
    server.set_user("u-1", preferred_username="grace", groups=["idp-operators"])
    log_in_through(server, client, "u-1")
    assert group_names(user) == ["Local", "Operators"]
    audited = AuditEvent.objects.filter(command=OPENID_PROVIDER, action=Action.CHANGED)
    assert [event.changes for event in audited] == [
        [{"field": "groups", "old": "Local, Operators, Support", "new": "Local, Operators"}]
    ]

    server.set_user("u-1", preferred_username="grace", groups="none")
    refused = log_in_through(server, client, "u-1")
    user.refresh_from_db()
    assert refused["Location"] == "/admin/login/"
    assert "has no access to the console" in client.get("/admin/login/").content.decode()
    assert (user.is_staff, group_names(user)) == (False, ["Local"])
    assert AuditEvent.objects.filter(action=Action.LOGIN_FAILED, user=user).count() == 1
    assert client.get("/admin/").status_code == 302


def test_local_superuser_logs_in_with_the_password_and_keeps_the_account(
    openid_server: OpenIDServer, provider: OpenIDProvider, client: Client
) -> None:
    admin = make_user("admin", email="admin@example.com", password=PASSWORD, is_superuser=True)
    openid_server.set_user(
        "u-2",
        preferred_username="admin",
        email="admin@example.com",
        email_verified=True,
        groups=["idp-support"],
    )
    page = client.get("/admin/login/?next=/admin/help/").content.decode()

    log_in_through(openid_server, client, "u-2")

    assert "Log in with Example SSO" in page
    assert f'href="{LOGIN}?next=%2Fadmin%2Fhelp%2F"' in page
    other = User.objects.get(is_superuser=False)
    assert (other.username != "admin", client.session["_auth_user_id"]) == (True, str(other.pk))
    assert log_in(Client(), "admin")["Location"] == "/admin/"
    # A session of the local user cannot be connected with an identity of the provider.
    local = Client()
    log_in(local, "admin")
    started = local.get(f"{LOGIN}?process=connect")
    callback = urlsplit(openid_server.authorize(started["Location"], "u-2"))
    assert local.get(f"{callback.path}?{callback.query}")["Location"] == "/admin/login/"
    assert group_names(admin) == []


def test_users_without_a_mapped_group_are_not_created(
    openid_server: OpenIDServer, provider: OpenIDProvider
) -> None:
    openid_server.set_user("u-3", preferred_username="mallory", groups=["unrelated"])

    response = log_in_through(openid_server, Client(), "u-3")

    assert response["Location"] == "/admin/login/"
    assert not User.objects.exists()
    assert [*AuditEvent.objects.values_list("action", "user")] == [("login_failed", None)]


def test_inactive_user_is_refused(
    openid_server: OpenIDServer, provider: OpenIDProvider, client: Client
) -> None:
    openid_server.set_user("u-4", preferred_username="ida", groups=["idp-support"])
    log_in_through(openid_server, client, "u-4")
    User.objects.update(is_active=False)

    response = log_in_through(openid_server, client, "u-4")

    assert response["Location"] == "/admin/login/"
    assert client.get("/admin/").status_code == 302


def test_required_second_factor_is_left_to_the_provider(
    openid_server: OpenIDServer, provider: OpenIDProvider, settings: Settings, client: Client
) -> None:
    settings.REQUIRE_2FA = True
    openid_server.set_user("u-5", preferred_username="eve", groups=["idp-support"])

    log_in_through(openid_server, client, "u-5")

    assert client.get("/admin/").status_code == 200


def test_failures_of_the_provider_lead_back_to_the_login(
    openid_server: OpenIDServer,
    provider: OpenIDProvider,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    openid_server.set_user("u-6", preferred_username="joe", groups=["idp-support"])
    started = Client().get(LOGIN)
    query = parse_qs(urlsplit(started["Location"]).query)
    stolen = urlsplit(openid_server.authorize(started["Location"], "u-6"))

    def message(client: Client, response: HttpResponse) -> bool:
        assert response["Location"] == "/admin/login/"
        page = client.get("/admin/login/").content.decode()
        return "The login through Example SSO failed or was cancelled." in page

    assert query["code_challenge_method"] == ["S256"]
    assert sorted(query["scope"][0].split()) == ["email", "openid", "profile"]
    # Cancelled by the user; a callback of another browser; a wrong secret; no provider.
    client = Client()
    assert message(client, log_in_through(openid_server, client, None))
    assert message(client, client.get(f"{stolen.path}?{stolen.query}"))
    caplog.set_level(logging.INFO)
    configure(settings, replace(provider, client_secret="a wrong secret"))
    assert message(client, log_in_through(openid_server, client, "u-6"))
    assert "invalid_client" in caplog.text
    assert "a wrong secret" not in caplog.text
    configure(settings, replace(provider, issuer="http://127.0.0.1:1"))
    assert message(client, client.get(LOGIN))
    assert not User.objects.exists()


def test_doctor_checks_the_provider_and_its_groups(
    openid_server: OpenIDServer, provider: OpenIDProvider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.runs.monitoring.doctor.responding_workers", lambda timeout: ["worker"])

    def result() -> tuple[bool, str]:
        found = {check.name: check for check in run_checks(is_thorough=True)}["openid_provider"]
        return found.is_ok, found.detail

    assert result() == (True, "Responds; all groups exist.")
    Group.objects.filter(name="Support").delete()
    assert result() == (False, "Groups of SYNCLOG_OIDC_GROUPS do not exist: Support. Add them under Groups.")
    wrong = replace(provider, issuer=openid_server.url.replace("127.0.0.1", "localhost"))
    settings.OPENID_PROVIDER = wrong
    assert not result()[0]
    assert "openid_provider" not in {check.name for check in run_checks()}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SYNCLOG_OIDC_ISSUER", "", "SYNCLOG_OIDC_ISSUER is missing"),
        ("SYNCLOG_OIDC_CLIENT_SECRET", "", "SYNCLOG_OIDC_CLIENT_SECRET is missing"),
        ("SYNCLOG_OIDC_GROUPS", "", "SYNCLOG_OIDC_GROUPS is missing"),
        ("SYNCLOG_OIDC_GROUPS", "Support", "SYNCLOG_OIDC_GROUPS contains 'Support'; write pairs"),
        ("SYNCLOG_OIDC_ISSUER", "http://login.example", "write an address such as https://login.example."),
    ],
)
def test_wrong_configuration_names_the_variable(
    provider: OpenIDProvider, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ImproperlyConfigured, match=message):
        openid_provider()


def test_without_configuration_there_is_no_provider(client: Client) -> None:
    assert openid_provider() is None
    assert client.get(LOGIN).status_code == 404
    assert "provider/login" not in client.get("/admin/login/").content.decode()
