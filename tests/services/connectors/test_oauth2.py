"""OAuth 2 against a real token endpoint: grants, renewal, several workers, and what such endpoints respond."""

import json
import logging
import threading
from base64 import b64encode
from itertools import count
from urllib.parse import parse_qs

import pytest
from django.db import DatabaseError, connection

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import LogEntry, Payload, Run
from apps.services.connectors.base import ConnectorError
from apps.services.models import Connection, ConnectionState
from tests.factories import make_connection, make_service
from tests.services.transfers import connection_to, make_context, pull, push
from tests.services.web import Reply, reply_json, serving

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "cl1ent-secret"
BASIC = "Basic " + b64encode(f"me:{SECRET}".encode()).decode()


class System:
    """A token endpoint at /token, and an API that accepts the latest token."""

    def __init__(self, **token):
        self.token = {"token_type": "Bearer", "expires_in": 3600, **token}
        self.numbers = count(1)
        self.forms = []
        self.current = ""
        self.reply = None
        self.before_response = lambda request: None

    def __call__(self, request):
        if request.path == "/token":
            self.forms.append({name: texts[0] for name, texts in parse_qs(request.body.decode()).items()})
            return self.reply(request, self.forms[-1]) if self.reply else self.issue()
        if (reply := self.before_response(request)) is not None:
            return reply
        if request.headers.get("authorization") != f"Bearer {self.current}":
            return reply_json({"detail": "token expired"}, 401)
        return reply_json([{"id": 1}])

    def issue(self, **more):
        self.current = f"access-{next(self.numbers)}"
        return reply_json({"access_token": self.current, **self.token, **more})


def fields_for(web, **fields):
    return {
        "url": web.url,
        "auth": "oauth2",
        "auth_token_url": f"{web.url}/token",
        "auth_client_id": "me",
        "secret": SECRET,
        **fields,
    }


def refreshing(web, **fields):
    system = make_connection(**fields_for(web, auth_grant="refresh_token", **fields))
    system.set_refresh_token("refresh-0")
    system.save()
    return system


class RotatingSystem(System):
    """Accepts each refresh token once, as systems do that rotate them."""

    def __init__(self):
        super().__init__()
        self.valid = "refresh-0"
        self.lock = threading.Lock()
        self.reply = self.rotate

    def rotate(self, _request, form):
        with self.lock:
            if form["refresh_token"] != self.valid:
                return reply_json({"error": "invalid_grant", "error_description": "already used"}, 400)
            self.valid = f"refresh-{len(self.forms)}"
            return self.issue(refresh_token=self.valid)


def paths(web):
    return [request.path for request in web.requests]


def test_token_by_client_credentials_is_used_for_pulls_and_pushes():
    system = System()
    with serving(system) as web:
        crm = make_connection(**fields_for(web, auth_scope="read write"))
        pull(crm, {"path": "/contacts"})
        push(crm, {"path": "/contacts"}, [[{"id": 1}]])

    assert paths(web) == ["/token", "/contacts", "/contacts"]
    assert web.requests[0].headers["authorization"] == BASIC
    assert system.forms == [{"grant_type": "client_credentials", "scope": "read write"}]
    assert [request.headers["authorization"] for request in web.requests[1:]] == ["Bearer access-1"] * 2


def test_tokens_are_stored_encrypted():
    with serving(System()) as web:
        pull(make_connection(**fields_for(web)), {})

    stored = ConnectionState.objects.get()
    assert stored.tokens_encrypted
    assert "access-1" not in stored.tokens_encrypted
    assert stored.renewing_until is None


def test_secret_is_sent_in_the_form_if_the_header_is_refused():
    system = System()
    system.reply = lambda _request, form: (
        system.issue()
        if form.get("client_secret") == SECRET
        else reply_json({"error": "invalid_client"}, 401)
    )
    with serving(system) as web:
        pull(make_connection(**fields_for(web)), {})

    assert system.forms[1] == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": SECRET,
    }
    assert "authorization" not in web.requests[1].headers


def test_expired_token_is_renewed_before_a_request():
    system = System(expires_in=0.001)
    with serving(system) as web:
        crm = make_connection(**fields_for(web))
        pull(crm, {"path": "a"})
        pull(crm, {"path": "a"})

    assert paths(web) == ["/token", "/a", "/token", "/a"]


@pytest.mark.parametrize("expires_in", [None, "3600", "soon", -1])
def test_token_with_an_odd_lifetime_is_used_until_it_is_rejected(expires_in):
    system = System(expires_in=expires_in)
    with serving(system) as web:
        crm = make_connection(**fields_for(web))
        pull(crm, {"path": "a"})
        pull(crm, {"path": "a"})
        system.current = "another"
        pull(crm, {"path": "a"})

    assert paths(web) == ["/token", "/a", "/a", "/a", "/token", "/a"]


def test_token_without_expires_in_is_used_until_it_is_rejected():
    system = System()
    del system.token["expires_in"]
    with serving(system) as web:
        crm = make_connection(**fields_for(web))
        pull(crm, {"path": "a"})
        pull(crm, {"path": "a"})

    assert paths(web) == ["/token", "/a", "/a"]


def test_token_is_renewed_once_after_401(caplog):
    system = System()
    system.before_response = lambda request: reply_json({"detail": "no"}, 401)
    with (
        serving(system) as web,
        caplog.at_level(logging.INFO),
        pytest.raises(ConnectorError, match="401 Unauthorized"),
    ):
        pull(make_connection(**fields_for(web)), {"path": "a"}, make_context(max_attempts=3))

    assert paths(web) == ["/token", "/a", "/token", "/a"]
    assert "401 Unauthorized; sent again with a new access token" in caplog.text


def test_push_is_sent_again_after_401_with_the_same_key():
    system = System()
    with serving(system) as web:
        crm = make_connection(**fields_for(web))
        pull(crm, {"path": "a"})
        system.current = "another"
        [delivery] = push(crm, {"path": "a"}, [[{"id": 1}]])

    assert delivery.accepted == 1
    posts = [request for request in web.requests if request.method == "POST" and request.path == "/a"]
    assert [request.headers["idempotency-key"] for request in posts] == ["synclog-7-1-1"] * 2


def test_rotated_refresh_token_is_saved_before_the_access_token_is_used():
    system = RotatingSystem()
    seen = []

    def look(_request):
        try:
            seen.append(ConnectionState.objects.get().tokens_encrypted)
        finally:
            connection.close()

    system.before_response = look
    with serving(system) as web:
        crm = refreshing(web)
        pull(crm, {"path": "a"})
        system.current = "another"
        pull(Connection.objects.get(), {"path": "a"})

    assert [form["refresh_token"] for form in system.forms] == ["refresh-0", "refresh-1"]
    assert seen[0]


def test_rotated_refresh_token_that_cannot_be_saved_is_reported(monkeypatch):
    def fail(*_arguments):
        raise DatabaseError("disk full")

    monkeypatch.setattr("apps.services.models.connection_state.ConnectionStateQuerySet.save_tokens", fail)
    monkeypatch.setattr("apps.services.connectors.http.oauth2.SAVE_TIMEOUT", 0.3)
    with (
        serving(RotatingSystem()) as web,
        pytest.raises(ConnectorError, match=r"new refresh token could not be saved \(disk full\)"),
    ):
        pull(refreshing(web), {"path": "a"})

    assert paths(web) == ["/token"]


def test_workers_that_renew_at_once_share_the_new_token():
    system = RotatingSystem()
    errors, barrier = [], threading.Barrier(4)
    with serving(system) as web:
        crm = refreshing(web)

        def work():
            try:
                barrier.wait()
                pull(Connection.objects.get(pk=crm.pk), {"path": "a"})
            except ConnectorError as error:
                errors.append(error)
            finally:
                connection.close()

        for _round in range(2):
            threads = [threading.Thread(target=work) for _number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            system.current = "another"

    assert errors == []
    assert [form["refresh_token"] for form in system.forms] == ["refresh-0", "refresh-1"]


def test_client_without_secret_names_itself_in_the_form():
    system = RotatingSystem()
    with serving(system) as web:
        pull(refreshing(web, secret=""), {"path": "a"})

    assert system.forms[0] == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-0",
        "client_id": "me",
    }


def test_changed_settings_discard_the_stored_tokens():
    system = System()
    with serving(system) as web:
        crm = make_connection(**fields_for(web))
        pull(crm, {"path": "a"})
        crm.auth_scope = "write"
        crm.save()
        pull(crm, {"path": "a"})

    assert [form.get("scope") for form in system.forms] == [None, "write"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (
            Reply(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}),
            r"200 OK, but the response \(text/html\) is not a JSON object. Check the token URL. It begins: <html>",
        ),
        (
            reply_json({"error": "invalid_client"}, 401),
            r"401 Unauthorized \(invalid_client\). The client ID or the secret is wrong",
        ),
        (
            reply_json({"error": "invalid_grant", "error_description": "expired"}, 400),
            r"400 Bad Request \(invalid_grant: expired\). The refresh token is invalid, expired or revoked; authorize",
        ),
        (reply_json({"error": "bad_verification_code"}), r"200 OK \(bad_verification_code\). Check the auth"),
        (reply_json({"token": "x"}), "contains no access_token, only token. Check the token URL"),
        (reply_json({"access_token": ""}), "contains no access_token"),
        (reply_json({"access_token": "a\nb"}), "contains characters that no header may contain"),
        (reply_json({"access_token": "a", "token_type": "mac"}), "the type of the token is mac"),
        (reply_json([1]), "is not a JSON object"),
        (Reply(302, b"", {"Location": "/elsewhere"}), "302 Found; enter the final address as the token URL"),
        (Reply(404, b"not here"), "404 Not Found: not here. Check the token URL"),
    ],
)
def test_response_of_the_token_endpoint_is_explained(reply, reason):
    system = System()
    system.reply = lambda *_arguments: reply
    with serving(system) as web, pytest.raises(ConnectorError, match=reason) as caught:
        push(make_connection(**fields_for(web, name="crm")), {}, [[{"id": 1}]], make_context(max_attempts=2))

    assert str(caught.value).startswith(f"Connection crm has no access token: POST {web.url}/token")
    assert caught.value.response is None
    assert caught.value.may_have_arrived is False
    assert set(paths(web)) == {"/token"}
    assert ConnectionState.objects.get().renewing_until is None


def test_parameters_of_the_token_url_are_sent_and_masked():
    system = System()
    system.reply = lambda *_arguments: reply_json({"error": "invalid_scope"}, 400)
    with serving(system) as web, pytest.raises(ConnectorError) as caught:
        pull(make_connection(**fields_for(web, auth_token_url=f"{web.url}/token?p=1&api_key=s3cret")), {})

    assert web.requests[0].query == {"p": "1", "api_key": "s3cret"}
    assert f"POST {web.url}/token?p=1&api_key=••••: 400" in str(caught.value)


def test_temporary_error_of_the_token_endpoint_is_retried():
    system = System()
    replies = iter([reply_json({}, 503, Retry_After="0")])
    system.reply = lambda *_arguments: next(replies, None) or system.issue()
    with serving(system) as web:
        pull(make_connection(**fields_for(web)), {"path": "a"}, make_context(max_attempts=2))

    assert paths(web) == ["/token", "/token", "/a"]


def test_push_has_not_arrived_if_the_token_endpoint_is_down():
    crm = make_connection(
        url="http://127.0.0.1:9",
        auth="oauth2",
        auth_token_url="http://127.0.0.1:9/token",
        auth_client_id="me",
        secret=SECRET,
    )

    with pytest.raises(ConnectorError, match="/token: connection failed") as caught:
        push(crm, {}, [[{"id": 1}]])

    assert caught.value.may_have_arrived is False


def test_metadata_address_is_refused_as_token_url():
    with serving(System()) as web:
        crm = make_connection(**fields_for(web, auth_token_url="http://169.254.169.254/token"))
        with pytest.raises(ConnectorError, match="link-local or cloud metadata address"):
            pull(crm, {})

    assert web.requests == []


def test_token_is_not_sent_to_another_system():
    system = System()
    with serving(lambda request: reply_json([])) as other:
        system.before_response = lambda request: Reply(302, b"", {"Location": other.url})
        with serving(system) as web:
            pull(make_connection(**fields_for(web)), {})

    assert "authorization" not in other.requests[0].headers


def test_unsaved_connection_keeps_its_token_in_memory():
    with serving(System()) as web:
        pull(connection_to(**fields_for(web)), {"path": "a"})

    assert paths(web) == ["/token", "/a"]
    assert not ConnectionState.objects.exists()


def test_missing_refresh_token_is_reported():
    with serving(System()) as web, pytest.raises(ConnectorError, match="has no refresh token; enter one"):
        pull(make_connection(**fields_for(web, auth_grant="refresh_token")), {})


def test_tokens_and_secrets_are_masked_in_the_log(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"
    system = RotatingSystem()

    def respond(request):
        if request.method == "POST":
            return reply_json({"token": system.current, "refresh": system.valid, "secret": SECRET}, 422)
        return None

    system.before_response = respond
    with serving(system) as web:
        crm = refreshing(web)
        service = make_service(source_connection=crm, destination_connection=crm)
        run = queue_run(service, trigger=Run.Trigger.MANUAL, store=["pull", "push"])
        run = execute_run(run.pk, worker="test")

    lines = list(LogEntry.objects.filter(run_id=run.pk).values_list("message", flat=True))
    texts = json.dumps(
        [lines, run.error, *Payload.objects.values_list("name", flat=True)], ensure_ascii=False
    )
    assert '\\"token\\": \\"••••\\"' in texts
    assert "valid until" in texts
    for secret in ("access-1", "refresh-", SECRET, BASIC):
        assert secret not in texts
