"""Second factors: authenticator app, recovery codes, SYNCLOG_REQUIRE_2FA. Passkeys: tests/browser/test_account.py."""

import base64
import hmac
import json
import logging
import re
import struct
import time

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from apps.audit.models import Action, AuditEvent
from tests.console.account.test_login import PASSWORD, log_in, make_ada
from tests.factories import make_token

pytestmark = pytest.mark.django_db
ADD_APP = "/admin/account/2fa/app/add/"
SECOND_FACTOR = "/admin/login/second-factor/"
CODES = "/admin/account/2fa/recovery-codes/"


def code_of(secret: str, steps: int = 0) -> str:
    """The code that an authenticator app shows, as RFC 6238 defines it."""
    counter = struct.pack(">Q", int(time.time()) // 30 + steps)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    [number] = struct.unpack(">I", digest[digest[-1] & 15 :][:4])
    return f"{(number & 0x7FFFFFFF) % 10**6:06}"


def confirm(client: Client) -> None:
    response = client.post("/admin/account/confirm/", {"password": PASSWORD})
    assert response.status_code == 302


def add_app(client: Client) -> str:
    """Logs in, adds an authenticator app and returns its secret."""
    log_in(client, "ada")
    confirm(client)
    secret = re.search(r"<code>(\w+)</code>", client.get(ADD_APP).content.decode())[1]
    response = client.post(ADD_APP, {"code": code_of(secret)})
    assert response["Location"] == CODES
    return secret


def recovery_codes(client: Client) -> list[str]:
    return re.findall(r"<code>(\d{8})</code>", client.get(CODES).content.decode())


@pytest.fixture
def ada() -> User:
    return make_ada(is_superuser=True)


def test_login_asks_for_the_code_and_accepts_it_once(ada: User) -> None:
    secret = add_app(Client())
    code = code_of(secret, 1)
    client, thief = Client(), Client()

    asked = log_in(client, "ada", next="/admin/help/")

    assert asked["Location"] == SECOND_FACTOR
    assert client.get("/admin/")["Location"].startswith("/admin/login/")
    assert client.post(SECOND_FACTOR, {"code": "1"}).status_code == 200
    assert client.post(SECOND_FACTOR, {"code": code})["Location"] == "/admin/help/"
    assert client.get("/admin/").status_code == 200
    log_in(thief, "ada")
    assert "Wrong code." in thief.post(SECOND_FACTOR, {"code": code}).content.decode()


def test_codes_are_limited_by_account(ada: User) -> None:
    secret = add_app(Client())
    client = Client()
    log_in(client, "ada")
    for _number in range(10):
        client.post(SECOND_FACTOR, {"code": "1"})

    response = client.post(SECOND_FACTOR, {"code": code_of(secret, 1)})

    assert "Too many failed attempts." in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_recovery_code_replaces_the_app_once(ada: User) -> None:
    client = Client()
    add_app(client)
    codes = recovery_codes(client)
    download = client.get("/admin/account/2fa/recovery-codes/recovery-codes.txt")

    assert len(set(codes)) == 10
    assert download.content.decode().split() == codes
    assert "attachment" in download["Content-Disposition"]
    for expected in (302, 200):
        other = Client()
        log_in(other, "ada")
        assert other.post(SECOND_FACTOR, {"code": codes[0]}).status_code == expected
    assert recovery_codes(client) == codes[1:]


def test_changes_of_second_factors_need_the_password_again(client: Client, ada: User) -> None:
    log_in(client, "ada")

    for path in (ADD_APP, "/admin/account/2fa/passkeys/add/"):
        assert client.get(path)["Location"].startswith("/admin/account/confirm/")
    assert "Wrong password." in client.post("/admin/account/confirm/", {"password": "x"}).content.decode()
    assert client.get(ADD_APP).status_code == 302


def test_secrets_are_encrypted_and_never_logged(
    client: Client, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    secret = add_app(client)
    codes = recovery_codes(client)

    stored = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))
    stored += str([session.get_decoded() for session in Session.objects.all()])
    for text in (secret, *codes):
        assert text not in stored
        assert text not in caplog.text


def test_no_code_is_right_after_the_encryption_key_has_changed(ada: User, settings: Settings) -> None:
    client = Client()
    secret = add_app(client)
    codes = recovery_codes(client)
    settings.SECRET_KEY = "another key"
    client = Client()
    log_in(client, "ada")

    for code in (code_of(secret, 1), codes[0], code_of("")):
        assert "Wrong code." in client.post(SECOND_FACTOR, {"code": code}).content.decode()


def test_command_removes_lost_second_factors(ada: User) -> None:
    add_app(Client())

    call_command("remove_second_factors", "ada")

    assert log_in(Client(), "ada")["Location"] == "/admin/"
    with pytest.raises(CommandError, match="Unknown user 'nobody'"):
        call_command("remove_second_factors", "nobody")


def test_changes_of_second_factors_are_audited(
    ada: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    client = Client()
    with django_capture_on_commit_callbacks(execute=True):
        add_app(client)
    client.post("/admin/account/2fa/recovery-codes/new/")
    client.post("/admin/account/2fa/app/remove/")
    call_command("remove_second_factors", "ada")

    events = AuditEvent.objects.filter(action=Action.FACTOR_CHANGED, object_name="ada").order_by("pk")
    assert [*events.values_list("username", "command", "detail")] == [
        ("ada", "", "Authenticator app added"),
        ("ada", "", "New recovery codes"),
        ("ada", "", "Authenticator app removed"),
        ("ada", "", "Recovery codes removed"),
        ("", "remove_second_factors", "All second factors removed"),
    ]


def test_required_second_factor_is_set_up_before_anything_else(
    ada: User, settings: Settings, client: Client
) -> None:
    settings.REQUIRE_2FA = True
    _token, secret = make_token(user=ada, scopes=["run:read"])

    log_in(client, "ada")

    for path in ("/admin/", "/admin/services/service/", "/admin/session/", "/admin/auth/user/add/"):
        for method in (client.get, client.post):
            assert method(path)["Location"] == "/admin/account/2fa/"
    assert "requires two-factor authentication" in client.get("/admin/account/2fa/").content.decode()
    response = Client().get("/api/v1/runs/", headers={"authorization": f"Bearer {secret}"})
    assert response.status_code == 200

    add_app(client)
    assert client.get("/admin/").status_code == 200
    Authenticator.objects.exclude(type="recovery_codes").delete()
    assert client.get("/admin/")["Location"] == "/admin/account/2fa/"
