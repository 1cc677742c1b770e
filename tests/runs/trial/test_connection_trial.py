"""Test of connections against real servers: which step fails, and what to do."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from apps.runs.trial import connection_trial
from apps.runs.trial.connection_trial import try_connection
from apps.services.models import ConnectionState, HostKey
from tests.factories import make_connection
from tests.openssh import USER, OpenSSHServer, create_key
from tests.servers import S3Server
from tests.services.certificates import create_certificate
from tests.services.connectors.test_proxy_and_tls import proxying
from tests.services.transfers import connection_to
from tests.services.web import reply_json, serving
from tests.sftp import PASSWORD, sftp_server
from tests.sftp import USER as SFTP_USER
from tests.unresponsive_servers import silent_server, unreachable_server

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "s3cret-of-the-shop"


def run_test(connection, **options):
    return try_connection(connection, is_cancelled=lambda: False, **options)


def states(test):
    return {step.name.value: step.state.value for step in test.steps}


def details(test):
    return {step.name.value: step.detail for step in test.steps}


def failure(test):
    """Step, error and advice."""
    step = test.failed_step
    return step.name.value, step.detail, step.advice


def respond_with(status, **headers):
    return lambda request: reply_json({"detail": "x"}, status, **headers)


# --- HTTP ---


def test_http_connection_works():
    with serving(respond_with(200)) as web:
        test = run_test(connection_to(f"{web.url}/api", auth="bearer", secret=SECRET))

    assert test.is_complete
    assert details(test) == {
        "resolve": "127.0.0.1",
        "connect": web.url.removeprefix("http://"),
        "authenticate": f"GET {web.url}/api: 200 OK",
    }
    assert all(step.milliseconds >= 0 for step in test.steps)
    [request] = web.requests
    assert (request.path, request.headers["authorization"]) == ("/api", f"Bearer {SECRET}")


def test_tls_is_shown_with_version_and_expiry(tmp_path):
    certificate = create_certificate(tmp_path / "server.pem")
    with serving(respond_with(200), certificate=certificate) as web:
        test = run_test(connection_to(web.url, ca_file=str(certificate)))

    assert test.is_complete
    assert details(test)["tls"].startswith("TLSv1.3; the certificate is valid until ")


@pytest.mark.parametrize("status", [404, 405])
def test_other_status_of_the_base_url_is_usual(status):
    with serving(respond_with(status)) as web:
        test = run_test(connection_to(web.url))

    assert test.is_complete
    assert details(test)["request"].endswith(", which is usual for the base of an API.")


@pytest.mark.parametrize(
    ("status", "fields", "advice"),
    [
        (401, {}, "The system requires authentication"),
        (401, {"auth": "basic", "auth_username": "me", "secret": SECRET}, "Check user name and password"),
        (401, {"auth": "query", "auth_query": "key", "secret": SECRET}, "Check the secret"),
        (403, {"auth": "bearer", "secret": SECRET}, "Check whether the account has the permission"),
        (407, {}, "The proxy requires authentication"),
        (429, {}, "Test again later"),
        (503, {}, "The system itself fails"),
    ],
)
def test_refused_request_fails(status, fields, advice):
    with serving(respond_with(status)) as web:
        test = run_test(connection_to(web.url, **fields))

    step, error, shown = failure(test)
    assert step == ("authenticate" if fields else "request")
    assert f"GET {web.url}: {status} " in error
    assert advice in shown
    assert len(web.requests) == 1


def test_unknown_host_fails_to_resolve():
    test = run_test(connection_to("https://nowhere.invalid/api"))

    assert states(test) == {
        "resolve": "failed",
        "connect": "not_reached",
        "tls": "not_reached",
        "request": "not_reached",
    }
    assert failure(test)[1].startswith("nowhere.invalid: unknown host")
    assert "spelling of the host" in failure(test)[2]


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "sftp://169.254.169.254/in"])
def test_metadata_address_is_refused(url):
    test = run_test(connection_to(url))

    assert failure(test)[0] == "resolve"
    assert "link-local or cloud metadata address" in failure(test)[1]


def test_closed_port_fails_to_connect():
    test = run_test(connection_to("http://127.0.0.1:9"))

    assert failure(test) == (
        "connect",
        "http://127.0.0.1:9: connection failed (Connection refused)",
        "Check host and port, whether the system is running, and whether a firewall is in between.",
    )


def test_server_that_leaves_connections_pending_times_out():
    with unreachable_server() as port:
        test = run_test(connection_to(f"http://127.0.0.1:{port}", connect_timeout=0.3))

    assert failure(test)[:2] == ("connect", f"http://127.0.0.1:{port}: connect timeout")


def test_untrusted_certificate_fails_at_tls(tmp_path):
    with serving(respond_with(200), certificate=create_certificate(tmp_path / "server.pem")) as web:
        test = run_test(connection_to(web.url, auth="bearer", secret=SECRET))

    assert states(test) == {
        "resolve": "ok",
        "connect": "ok",
        "tls": "failed",
        "authenticate": "not_reached",
    }
    assert failure(test)[1] == f"{web.url}: the TLS certificate is not trusted (self-signed certificate)."
    assert "CA file" in failure(test)[2]
    assert web.requests == []


def test_certificate_of_another_host_fails_at_tls(tmp_path):
    certificate = create_certificate(tmp_path / "server.pem")
    with serving(respond_with(200), certificate=certificate) as web:
        test = run_test(connection_to(web.url.replace("127.0.0.1", "localhost"), ca_file=str(certificate)))

    assert failure(test)[0] == "tls"
    assert "certificate belongs to another host" in failure(test)[2]


def test_port_without_tls_fails_at_tls():
    with serving(respond_with(200)) as web:
        test = run_test(connection_to(web.url.replace("http:", "https:")))

    assert failure(test)[0] == "tls"
    assert "The port does not use TLS" in failure(test)[2]


def test_missing_client_certificate_is_named(tmp_path):
    certificate = create_certificate(tmp_path / "server.pem")
    with serving(respond_with(200), certificate=certificate, client_ca=certificate) as web:
        test = run_test(connection_to(web.url, ca_file=str(certificate)))

    assert failure(test)[0] == "request"
    assert "requires a client certificate" in failure(test)[2]


@pytest.mark.parametrize(
    "fields", [{"auth": "bearer", "secret_env": "NOT_SET_ANYWHERE"}, {"ca_file": "/not/there.pem"}]
)
def test_unavailable_secret_or_file_is_reported_first(fields):
    test = run_test(connection_to("https://127.0.0.1:9", **fields))

    assert failure(test)[0] == "settings"
    assert [*states(test)][1:3] == ["resolve", "connect"]


def test_request_through_a_proxy(tmp_path):
    certificate = create_certificate(tmp_path / "server.pem")
    with serving(respond_with(200), certificate=certificate) as web, proxying() as proxy:
        test = run_test(connection_to(web.url, proxy=proxy.url, ca_file=str(certificate)))

    target = web.url.removeprefix("https://")
    assert test.is_complete
    assert [*states(test)] == ["resolve", "connect", "proxy", "tls", "request"]
    assert details(test)["connect"] == f"Connected to the proxy {proxy.url.removeprefix('http://')}."
    assert proxy.requests == [f"CONNECT {target}"] * 2


def test_proxy_that_refuses_the_tunnel_fails_at_the_proxy():
    with proxying() as proxy:
        proxy.status = 403
        test = run_test(connection_to("https://127.0.0.1:9", proxy=proxy.url))

    assert failure(test)[0] == "proxy"
    assert "403" in failure(test)[1]


def test_proxy_that_is_down_fails_to_connect():
    test = run_test(connection_to("https://127.0.0.1:9", proxy="http://127.0.0.1:9"))

    assert failure(test)[0] == "connect"
    assert "address and port of the proxy" in failure(test)[2]


def test_redirect_is_followed_without_credentials():
    with (
        serving(respond_with(200)) as other,
        serving(respond_with(302, Location=f"{other.url}/login")) as web,
    ):
        test = run_test(connection_to(web.url, auth="bearer", secret=SECRET))

    assert details(test)["authenticate"] == f"GET {other.url}/login: 200 OK"
    assert "authorization" not in other.requests[0].headers


def test_secret_in_a_response_is_masked():
    with serving(lambda request: reply_json({"got": request.headers["authorization"]}, 401)) as web:
        test = run_test(connection_to(web.url, auth="bearer", secret=SECRET))

    assert SECRET not in failure(test)[1]
    assert "••••" in failure(test)[1]


# --- Limits ---


def test_hanging_server_ends_with_the_limit(monkeypatch):
    monkeypatch.setattr(connection_trial, "MAX_SECONDS", 0.5)
    started = time.monotonic()
    with silent_server() as port:
        test = run_test(connection_to(f"http://127.0.0.1:{port}"))

    assert time.monotonic() - started < 5
    assert states(test) == {"resolve": "ok", "connect": "ok", "request": "failed"}
    assert failure(test)[1].startswith("No result after ")


def test_read_timeout_is_that_of_the_connection():
    with silent_server() as port:
        test = run_test(connection_to(f"http://127.0.0.1:{port}", read_timeout=0.2))

    assert failure(test)[:2] == ("request", f"GET http://127.0.0.1:{port}: read timeout")


def test_cancellation_keeps_what_was_found():
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    with silent_server() as port:
        test = try_connection(connection_to(f"http://127.0.0.1:{port}"), is_cancelled=cancelled.is_set)

    assert states(test) == {"resolve": "ok", "connect": "ok", "request": "failed"}
    assert failure(test)[1:] == ("Cancelled.", "")


# --- OAuth 2 ---


def oauth(web, **fields):
    return {
        "url": web.url,
        "auth": "oauth2",
        "auth_token_url": f"{web.url}/token",
        "auth_client_id": "me",
        "secret": SECRET,
    } | fields


def issue(request):
    if request.path != "/token":
        return reply_json([], 200 if request.headers["authorization"] == "Bearer tok-1234" else 401)
    return reply_json({"access_token": "tok-1234", "expires_in": 3600, "refresh_token": "next-5678"})


def test_access_token_of_an_unsaved_connection_is_not_stored():
    with serving(issue) as web:
        fields = oauth(web)
        test = run_test(connection_to(fields.pop("url"), **fields))

    assert test.is_complete
    assert [*states(test)] == ["resolve", "connect", "token", "authenticate"]
    assert ConnectionState.objects.count() == 0


def test_stored_connection_shares_its_access_token():
    with serving(issue) as web:
        connection = make_connection(**oauth(web))
        first, second = run_test(connection), run_test(connection)

    assert first.is_complete
    assert second.is_complete
    assert [request.path for request in web.requests].count("/token") == 1


def test_refused_client_fails_at_the_access_token():
    refusal = reply_json({"error": "invalid_client"}, 401)
    with serving(lambda request: refusal) as web:
        fields = oauth(web)
        test = run_test(connection_to(fields.pop("url"), **fields))

    assert failure(test)[0] == "token"
    assert "The client ID or the secret is wrong" in failure(test)[1]
    assert states(test)["authenticate"] == "not_reached"


def test_unsaved_refresh_token_is_not_used():
    with serving(issue) as web:
        fields = oauth(web, auth_grant="refresh_token")
        connection = connection_to(fields.pop("url"), **fields)
        connection.set_refresh_token("refresh-1")
        test = run_test(connection)

    assert (test.is_complete, test.failed_step) == (False, None)
    assert "Save, then test again" in details(test)["token"]
    assert web.requests == []


# --- SFTP ---


def test_sftp_with_a_password(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with sftp_server(tmp_path) as port:
        test = run_test(
            connection_to(f"sftp://127.0.0.1:{port}/", auth="basic", auth_username=SFTP_USER, secret=PASSWORD)
        )

    assert test.is_complete
    assert [*states(test)] == ["resolve", "connect", "host_key", "authenticate", "folder"]
    assert details(test)["folder"] == "1 entry"
    assert HostKey.objects.count() == 0


def test_sftp_with_a_wrong_password_fails_to_authenticate(tmp_path):
    with sftp_server(tmp_path) as port:
        test = run_test(
            connection_to(
                f"sftp://127.0.0.1:{port}/", auth="basic", auth_username=SFTP_USER, secret="wrong-one"
            )
        )

    assert failure(test)[0] == "authenticate"
    assert "Authentication failed" in failure(test)[1]


def test_missing_folder_of_sftp_is_a_warning_unless_a_file_is_in_its_place(tmp_path):
    (tmp_path / "file").write_text("x")
    fields = {"auth": "basic", "auth_username": SFTP_USER, "secret": PASSWORD}
    with sftp_server(tmp_path) as port:
        missing = run_test(connection_to(f"sftp://127.0.0.1:{port}/new/orders", **fields))
        blocked = run_test(connection_to(f"sftp://127.0.0.1:{port}/file/orders", **fields))

    assert missing.is_complete
    assert (missing.steps[-1].state, missing.steps[-1].detail) == (
        "warning",
        "/new/orders does not exist yet.",
    )
    assert not (tmp_path / "new").exists()
    assert failure(blocked)[:2] == ("folder", "/file/orders cannot be created: /file is not a folder.")


def test_port_without_ssh_fails_at_the_host_key():
    with serving(respond_with(200)) as web:
        test = run_test(connection_to(web.url.replace("http:", "sftp:")))

    assert failure(test)[0] == "host_key"
    assert "no SSH server responds there" in failure(test)[2]


@pytest.fixture
def sftp_connection(sshd: OpenSSHServer, tmp_path):
    sshd.authorize(create_key(tmp_path / "key"))
    return connection_to(
        f"sftp://127.0.0.1:{sshd.port}{tmp_path}",
        auth="key",
        auth_username=USER,
        secret=(tmp_path / "key").read_text(),
    )


def test_host_key_of_openssh_is_shown_and_not_stored(sshd: OpenSSHServer, sftp_connection):
    test = run_test(sftp_connection)

    assert test.is_complete
    assert sshd.host_key_fingerprint in details(test)["host_key"]
    assert "The first run remembers it" in details(test)["host_key"]
    assert HostKey.objects.count() == 0


def test_changed_host_key_fails_unless_it_is_forgotten(sftp_connection):
    with tempfile.TemporaryDirectory() as folder:
        key = create_key(Path(folder) / "other").read_text().split()
    HostKey.objects.create(host=sftp_connection.ssh_host, algorithm=key[0], key=key[1])

    step, error, advice = failure(run_test(sftp_connection))
    assert (step, advice) == ("host_key", "")
    assert "has changed" in error

    assert run_test(sftp_connection, forgets_host_key=True).is_complete
    assert HostKey.objects.count() == 1


def test_unreadable_private_key_is_reported_before_connecting():
    test = run_test(connection_to("sftp://127.0.0.1:9/", auth="key", auth_username="me", secret="no key"))

    assert failure(test)[0] == "settings"


# --- Folders ---


@pytest.fixture
def folder(settings) -> Iterator[Path]:
    """An allowed folder that other users may reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        settings.FILE_ROOTS = [path]
        yield path


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Another user, if the tests run as root, who may do everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_local_folder_works(folder):
    (folder / "a.json").write_text("[]")
    test = run_test(connection_to(f"file://{folder}"))

    assert test.is_complete
    assert details(test) == {"allowed": str(folder), "folder": "", "read": "1 entry", "write": ""}


def test_read_only_folder_fails_at_writing(folder, request):
    inner = folder / "in"
    inner.mkdir(mode=0o555)
    request.getfixturevalue("unprivileged")
    test = run_test(connection_to(f"file://{inner}"))

    assert states(test) == {"allowed": "ok", "folder": "ok", "read": "ok", "write": "failed"}
    assert "only sources can use it" in failure(test)[2]


def test_folder_without_read_permission_fails_at_reading(folder, request):
    inner = folder / "out"
    inner.mkdir(mode=0o333)
    request.getfixturevalue("unprivileged")
    test = run_test(connection_to(f"file://{inner}"))

    assert failure(test)[0] == "read"


def test_missing_folder_that_a_run_creates_is_a_warning(folder):
    test = run_test(connection_to(f"file://{folder}/new/orders"))

    assert test.is_complete
    assert states(test) == {"allowed": "ok", "folder": "warning"}
    assert details(test)["folder"] == f"{folder}/new/orders does not exist yet."
    assert "A destination creates the folder" in test.steps[-1].advice
    assert list(folder.iterdir()) == []


def test_folder_that_cannot_be_created_fails(folder, request):
    (folder / "closed").mkdir(mode=0o555)
    (folder / "file").write_text("x")
    request.getfixturevalue("unprivileged")

    for name, reason in {
        "closed/new": f"does not exist and cannot be created: {folder}/closed cannot be written.",
        "file/new": f"cannot be created: {folder}/file is not a folder.",
        "file": "is not a folder.",
    }.items():
        assert failure(run_test(connection_to(f"file://{folder}/{name}")))[:2] == (
            "folder",
            f"{folder}/{name} {reason}",
        )


def test_folder_outside_the_roots_is_not_allowed(folder):
    test = run_test(connection_to("file:///etc"))

    assert failure(test)[0] == "allowed"
    assert "SYNCLOG_FILE_ROOTS" in failure(test)[2]


@pytest.fixture
def bucket_connection(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", s3_server.region)
    return connection_to(
        f"s3://{s3_server.create_bucket()}/drop",
        auth="basic",
        auth_username=s3_server.access_key,
        secret=s3_server.secret_key,
    )


def test_bucket_works_before_its_folder_contains_a_file(bucket_connection):
    assert run_test(bucket_connection).is_complete


@pytest.mark.parametrize("fields", [{"auth_username": "unknown"}, {"url": "s3://no-such-bucket-here/drop"}])
def test_bucket_that_cannot_be_opened_fails(bucket_connection, fields):
    for name, value in fields.items():
        setattr(bucket_connection, name, value)

    test = run_test(bucket_connection)

    assert failure(test)[0] == "folder"
    assert failure(test)[1].startswith("The folder ")
    assert "Check bucket, user name and secret" in failure(test)[2]


def test_ftp_server_that_is_down_fails_to_connect():
    test = run_test(connection_to("ftp://127.0.0.1:9/in"))

    assert failure(test)[0] == "connect"


def test_command_tests_a_stored_connection(capsys):
    with serving(respond_with(200)) as web:
        make_connection(name="shop", url=web.url)
        call_command("test_connection", "shop")
    make_connection(name="down")

    assert capsys.readouterr().out.splitlines() == [
        "OK: Resolve host  127.0.0.1",
        f"OK: Connect  {web.url.removeprefix('http://')}",
        f"OK: Request  GET {web.url}: 200 OK",
    ]
    with pytest.raises(CommandError, match=r"Failed at Connect\. Check host and port"):
        call_command("test_connection", "down")
    with pytest.raises(CommandError, match=r"Unknown connection .* Allowed: "):
        call_command("test_connection", "nope")


def test_advice_is_translated():
    with translation.override("de"):
        test = run_test(connection_to("http://127.0.0.1:9"))

    assert failure(test)[2].startswith("Prüfen Sie Host und Port")
