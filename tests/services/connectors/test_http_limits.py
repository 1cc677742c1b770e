"""Limits of HTTP requests: memory, time and attempts; and TLS verification."""

import gzip
import json
import logging
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.endpoints import open_source
from apps.services.connectors.retry import MAX_RETRY_AFTER, retry_after_in
from apps.services.models import Service
from tests.services.certificates import create_certificate
from tests.services.transfers import connection_to, make_context, pull
from tests.services.web import Reply, reply_json, serving

MIB = 1024 * 1024


@pytest.fixture
def peak() -> Iterator[object]:
    """A function that returns the peak of traced memory since the start of the test, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def endless_bytes() -> Iterator[bytes]:
    block = b" " * 65536
    for _ in range(3 * 1024 * 16):
        yield block


@pytest.mark.parametrize("length", [None, str(3 * 1024 * MIB)])
def test_response_of_3_gb_is_rejected_in_constant_memory(settings, peak, length):
    settings.MAX_RESPONSE_BYTES = 2 * MIB
    headers = {"Content-Length": length} if length else {"Connection": "close"}

    with (
        serving(lambda request: Reply(200, endless_bytes(), headers)) as web,
        pytest.raises(ConnectorError, match=r"larger than 2 MiB.*SYNCLOG_MAX_RESPONSE_MIB"),
    ):
        pull(connection_to(web.url), {}, make_context(max_attempts=3))

    assert len(web.requests) == 1
    assert peak() < 8 * MIB


def test_decompression_bomb_is_rejected(settings, peak):
    settings.MAX_RESPONSE_BYTES = MIB
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(packer.compress(b"0" * MIB) for _ in range(200)), packer.flush()])
    headers = {"Content-Encoding": "gzip"}

    with (
        serving(lambda request: Reply(200, bomb, headers)) as web,
        pytest.raises(ConnectorError, match="larger than 1 MiB"),
    ):
        pull(connection_to(web.url), {})

    assert peak() < 10 * MIB


def test_header_of_1_mb_is_reported():
    reply = reply_json([1], X_Padding="x" * MIB)
    with (
        serving(lambda request: reply) as web,
        pytest.raises(ConnectorError, match="more than 65536 bytes when reading header line"),
    ):
        pull(connection_to(web.url), {})


def test_invalid_compression_is_reported():
    headers = {"Content-Encoding": "gzip"}
    broken = gzip.compress(b"[]" * 1000)[:10] + b"\xff" * 50

    with (
        serving(lambda request: Reply(200, broken, headers)) as web,
        pytest.raises(ConnectorError, match="compressed response is damaged"),
    ):
        pull(connection_to(web.url), {})


def test_memory_use_stays_constant_over_many_pages(peak):
    page = json.dumps([{"id": number, "text": "x" * 1000} for number in range(300)]).encode()

    def respond(request):
        number = int(request.query["page"])
        return Reply(200, page[:-1] + b" " * number + b"]" if number <= 60 else b"[]")

    with serving(respond) as web:
        service = Service(
            slug="large",
            source_connection=connection_to(web.url),
            source_options={"pagination": {"type": "page"}},
        )
        with open_source(service, make_context()) as source:
            pulled = sum(len(pulled_page.records) for pulled_page in source.pages())

    assert pulled == 60 * 300
    assert peak() < 12 * len(page)


def test_retry_after_is_respected_and_logged(caplog):
    number = count(1)

    def respond(request):
        return reply_json({}, 429, Retry_After="1") if next(number) == 1 else reply_json([])

    before = datetime.now(UTC)
    with serving(respond) as web:
        pull(connection_to(web.url), {}, make_context(max_attempts=2))

    assert datetime.now(UTC) - before >= timedelta(seconds=1)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"GET {web.url}: 429 Too Many Requests: {{}} (attempt 1 of 2; retry in 1.0 s)"
    ]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("1.5", 1.5),
        ("Sun, 06 Nov 1994 08:49:40 GMT", 3),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0),
        ("99999999999", MAX_RETRY_AFTER),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_accepts_seconds_or_date(header, seconds):
    assert retry_after_in(header, now=datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)) == seconds


def test_cancelled_run_stops_during_a_retry_pause():
    class Cancelled(Exception):
        pass

    calls = count(1)

    def check() -> None:
        if next(calls) > 4:
            raise Cancelled

    before = datetime.now(UTC)
    with serving(lambda request: reply_json({}, 503, Retry_After="60")) as web, pytest.raises(Cancelled):
        pull(connection_to(web.url), {}, make_context(max_attempts=2, check=check))

    assert datetime.now(UTC) - before < timedelta(seconds=5)


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


def test_untrusted_certificate_is_reported_without_retry(self_signed, caplog):
    with (
        serving(lambda request: reply_json([]), certificate=self_signed) as web,
        pytest.raises(ConnectorError, match=r"TLS certificate is not trusted \(self-signed.*SSL_CERT_FILE"),
    ):
        pull(connection_to(web.url), {}, make_context(max_attempts=3))

    assert web.requests == []
    assert caplog.records == []


def test_certificate_in_ssl_cert_file_is_trusted(self_signed, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed))

    with serving(lambda request: reply_json([1]), certificate=self_signed) as web:
        pages = pull(connection_to(web.url), {})

    assert pages[0].records == [1]


def test_tls_to_plain_server_is_reported():
    with (
        serving(lambda request: reply_json([])) as web,
        pytest.raises(ConnectorError, match="TLS failed"),
    ):
        pull(connection_to(web.url.replace("http://", "https://")), {}, make_context(max_attempts=3))


def test_missing_certificate_file_is_reported(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")

    with pytest.raises(ConnectorError, match=r"/nowhere/ca\.pem"):
        pull(connection_to("https://127.0.0.1:9"), {})


@pytest.mark.parametrize("secret", ["a\r\nX-Evil: 1", "a\x00b"])
def test_secret_with_control_characters_is_reported_without_its_value(secret):
    with pytest.raises(ConnectorError) as caught:
        pull(connection_to("http://127.0.0.1:9", auth="bearer", secret=secret), {})

    assert "control characters" in str(caught.value)
    assert secret not in str(caught.value)
