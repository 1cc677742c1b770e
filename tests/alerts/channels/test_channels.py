"""Each kind of channel against a real receiver, and receivers that are hostile or broken."""

import base64
import hashlib
import hmac
import json
import smtplib
import time
import uuid

import pytest
from django.utils import timezone

from apps.alerts.channels import apprise, apprise_process, webhook
from apps.alerts.channels.errors import DeliveryError
from apps.alerts.channels.sending import send
from apps.alerts.delivery.message import Message, render_message
from apps.alerts.models import Delivery
from tests.factories import make_channel
from tests.receivers import http_receiver, mail_server, respond_with
from tests.unresponsive_servers import silent_server, slow_server

pytestmark = pytest.mark.django_db

KEY = base64.b64encode(b"k" * 32).decode()
SECRET = f"whsec_{KEY}"
METADATA = "http://169.254.169.254/latest"


@pytest.fixture
def receiver():
    with http_receiver() as found:
        yield found


@pytest.fixture
def mails(settings):
    with mail_server() as server:
        settings.MAILERS = server.mailers
        yield server


def delivery(**fields):
    rendered = render_message(Message(kind="failed", service="Größe", headline="Run 7 failed"), "en")
    now = timezone.now()
    return Delivery(
        **{
            "key": uuid.UUID(int=7),
            "subject": rendered.subject,
            "text": rendered.text,
            "html": rendered.html,
            "payload": rendered.payload,
            "created_at": now,
            "next_attempt_at": now,
        }
        | fields
    )


def pager(url, **fields):
    return make_channel(**{"kind": "webhook", "url": url, "secret": SECRET} | fields)


# --- Email ---


def test_mail_has_text_html_and_an_id(mails, settings):
    settings.DEFAULT_FROM_EMAIL = "Synclog <synclog@sync.example>"
    channel = make_channel(to=["ops@example.com"])

    send(channel, delivery())

    [mail] = mails.mails
    assert mail["From"] == "Synclog <synclog@sync.example>"
    assert mail["To"] == "ops@example.com"
    assert mail["Subject"] == "[Synclog] Größe: Run 7 failed"
    assert mail["Message-ID"] == f"<{uuid.UUID(int=7)}.{channel.pk}@sync.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_refused_addresses_are_named(mails):
    mails.refused = {"nobody@example.com": "550 No such user"}

    with pytest.raises(DeliveryError, match=r"nobody@example.com: 550 No such user"):
        send(make_channel(to=["nobody@example.com"]), delivery())


def test_header_injection_is_refused(mails):
    with pytest.raises(DeliveryError):
        send(make_channel(), delivery(subject="Run\nBcc: thief@example.com"))
    with pytest.raises(DeliveryError):
        send(make_channel(to=["ops@example.com\nBcc: thief@example.com"]), delivery())

    assert mails.mails == []


def test_mail_server_without_response_ends_by_its_timeout(settings):
    with silent_server() as port:
        options = {"host": "127.0.0.1", "port": port, "timeout": 0.2}
        settings.MAILERS = {"default": {"BACKEND": "config.smtp.EmailBackend", "OPTIONS": options}}

        with pytest.raises(DeliveryError, match="timed out"):
            send(make_channel(), delivery())


def test_mail_goes_to_a_folder(settings, tmp_path):
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.filebased.EmailBackend",
            "OPTIONS": {"file_path": str(tmp_path)},
        }
    }

    send(make_channel(), delivery())

    [file] = tmp_path.iterdir()
    assert "Run 7 failed" in file.read_text()


def test_unexpected_errors_of_a_library_become_errors_of_the_delivery(mails, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("surprise")

    monkeypatch.setattr(smtplib.SMTP, "sendmail", fail)

    with pytest.raises(DeliveryError, match="RuntimeError: surprise"):
        send(make_channel(), delivery())


# --- Webhook ---


def test_webhook_is_signed_as_standard_webhooks_has_it(receiver):
    send(pager(f"{receiver.url}/in"), delivery())

    [(headers, body)] = receiver.requests
    assert headers["webhook-id"] == str(uuid.UUID(int=7))
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(base64.b64decode(KEY), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["data"]["service"] == "Größe"


def test_signature_is_that_of_the_specification():
    """The example of the reference implementations."""
    found = webhook.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "plain", "whsec_", "whsec_!!!", "whsec_c2hvcnQ="])
def test_invalid_secret_says_what_to_do(secret):
    with pytest.raises(DeliveryError, match="openssl rand"):
        send(pager("http://127.0.0.1:9", secret=secret), delivery())


@pytest.mark.parametrize("status", [200, 201, 204])
def test_success_is_any_2xx(receiver, status):
    receiver.respond = respond_with(status)

    send(pager(receiver.url), delivery())


def test_error_page_with_status_200_counts_as_delivered(receiver):
    receiver.respond = respond_with(200, b"<html>Something went wrong</html>")

    send(pager(receiver.url), delivery())


@pytest.mark.parametrize("status", [304, 400, 404, 410, 429, 500, 503])
def test_other_statuses_are_failures(receiver, status):
    receiver.respond = respond_with(status)

    with pytest.raises(DeliveryError, match=str(status)) as failure:
        send(pager(receiver.url), delivery())

    assert "attempt" not in str(failure.value)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        METADATA,
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://metadata.google.internal/",
    ],
)
def test_metadata_addresses_are_refused(url):
    with pytest.raises(DeliveryError, match="no connection may use it"):
        send(pager(url), delivery())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_to_metadata_are_refused(receiver, status):
    receiver.respond = respond_with(status, Location=METADATA)

    with pytest.raises(DeliveryError, match=r"no connection may use it|body would be lost"):
        send(pager(receiver.url), delivery())


def test_receiver_that_never_responds_ends_by_its_timeout(monkeypatch):
    monkeypatch.setattr(webhook, "READ_TIMEOUT", 0.3)

    with silent_server() as port, pytest.raises(DeliveryError, match="read timeout"):
        send(pager(f"http://127.0.0.1:{port}"), delivery())


def test_receiver_that_sends_byte_by_byte_is_cut_off(monkeypatch):
    monkeypatch.setattr(webhook, "TOTAL_TIMEOUT", 1.5)
    started = time.monotonic()

    with slow_server() as port, pytest.raises(DeliveryError, match="no complete response"):
        send(pager(f"http://127.0.0.1:{port}"), delivery())

    assert time.monotonic() - started < 10


def test_response_of_a_gigabyte_is_not_read(receiver):
    sent = 0

    def respond(handler):
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Content-Length", str(2**30))
        handler.end_headers()
        try:
            while sent < 2**30:
                handler.wfile.write(b"x" * 2**16)
                sent += 2**16
        except OSError:
            pass

    receiver.respond = respond

    send(pager(receiver.url), delivery())

    assert sent < 2**26


# --- Apprise ---


def chat(url):
    return make_channel(kind="apprise", secret=url)


def test_apprise_sends_title_and_text_to_the_url_in_the_environment(receiver, monkeypatch):
    monkeypatch.setenv("OPS_CHAT_URL", receiver.url.replace("http://", "json://") + "/in")

    send(make_channel(kind="apprise", secret_env="OPS_CHAT_URL"), delivery())

    [(_headers, body)] = receiver.requests
    found = json.loads(body)
    assert found["title"] == "[Synclog] Größe: Run 7 failed"
    assert "Run 7 failed" in found["message"]


def test_error_of_an_apprise_service_does_not_contain_its_tokens(receiver):
    receiver.respond = respond_with(401)
    url = receiver.url.replace("http://", "json://user:hunter2secret@") + "/path-token-123456"

    with pytest.raises(DeliveryError) as failure:
        send(chat(url), delivery())

    assert "401" in str(failure.value)
    assert "hunter2secret" not in str(failure.value)
    assert "path-token-123456" not in str(failure.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "Not an Apprise URL"),
        ("nosuch://host", "knows no scheme nosuch://"),
        ("syslog://", "notifies only the host"),
        ("macosx://", "notifies only the host"),
    ],
)
def test_apprise_urls_refused_by_their_scheme(url, reason):
    assert reason in apprise_process.notify(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("slack://x", "Token"),
        ("fcm://project/device?keyfile=/etc/passwd", "reads a local file"),
        ("json://169.254.169.254/latest", "no connection may use it"),
        ("mailto://u:p@169.254.169.254?to=a@b.example", "no connection may use it"),
        ("rsyslog://169.254.169.254", "no connection may use it"),
    ],
)
def test_refused_apprise_urls(url, reason):
    with pytest.raises(DeliveryError, match=reason):
        send(chat(url), delivery())


def test_apprise_redirect_to_metadata_is_refused(receiver):
    receiver.respond = respond_with(307, Location=METADATA)

    with pytest.raises(DeliveryError, match="no connection may use it"):
        send(chat(receiver.url.replace("http://", "json://")), delivery())


def test_apprise_service_that_never_responds_is_ended(monkeypatch):
    monkeypatch.setattr(apprise, "TIMEOUT", 4)

    with silent_server() as port, pytest.raises(DeliveryError, match=r"did not respond within|error"):
        send(chat(f"json://127.0.0.1:{port}/?rto=60"), delivery())


def test_channel_without_a_url_says_so():
    with pytest.raises(DeliveryError, match="has no Apprise URL"):
        send(make_channel(kind="apprise"), delivery())
    with pytest.raises(DeliveryError, match="OPS_CHAT_URL"):
        send(make_channel(kind="apprise", secret_env="OPS_CHAT_URL"), delivery())
