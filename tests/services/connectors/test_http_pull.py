"""Pulling from an HTTP system: pagination, authentication, and failures of the source."""

import gzip
import json
import logging
import time
from itertools import count

import pytest

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.retry import TemporaryError, with_retries
from tests.services.transfers import bytes_of, connection_to, make_context, pull
from tests.services.web import Reply, Request, reply_json, serving

ORDERS = [{"id": number} for number in range(1, 251)]


def paged(request: Request) -> Reply:
    size, page = int(request.query["_limit"]), int(request.query["_page"])
    return reply_json(ORDERS[(page - 1) * size : page * size])


BY_PAGE = {
    "path": "/orders",
    "page_size": 100,
    "pagination": {"type": "page", "page_param": "_page", "size_param": "_limit"},
}


def test_page_numbers_end_at_a_short_page():
    with serving(paged) as web:
        pages = pull(connection_to(web.url), BY_PAGE)

    assert [len(page.records) for page in pages] == [100, 100, 50]
    assert [record for page in pages for record in page.records] == ORDERS
    assert [page.number for page in pages] == [1, 2, 3]
    assert pages[1].origin == f"{web.url}/orders?_page=2&_limit=100"
    assert bytes_of(pages[2].body) == json.dumps(ORDERS[200:]).encode()
    assert len(web.requests) == 3


def test_page_numbers_end_at_an_empty_page():
    with serving(paged) as web:
        pages = pull(connection_to(web.url), BY_PAGE, make_context(page_size=125))

    assert [len(page.records) for page in pages] == [125, 125, 0]


def test_page_numbers_continue_after_a_short_page_with_next_link():
    def capped(request: Request) -> Reply:
        page = int(request.query["_page"])
        links = {"Link": f"<?_page={page + 1}>; rel=next"} if page < 3 else {}
        return reply_json(ORDERS[(page - 1) * 20 : page * 20], **links)

    with serving(capped) as web:
        pages = pull(connection_to(web.url), BY_PAGE)

    assert [len(page.records) for page in pages] == [20, 20, 20]


def test_offset_pagination_pulls_every_record():
    def sliced(request: Request) -> Reply:
        start, size = int(request.query["offset"]), int(request.query["limit"])
        return reply_json({"data": ORDERS[start : start + size]})

    with serving(sliced) as web:
        pages = pull(
            connection_to(web.url), {"records": "data", "page_size": 200, "pagination": {"type": "offset"}}
        )

    assert [record for page in pages for record in page.records] == ORDERS
    assert [request.query["offset"] for request in web.requests] == ["0", "200"]


def test_cursor_pagination_pulls_every_record():
    def cursored(request: Request) -> Reply:
        start = int(request.query.get("after", 0))
        following = str(start + 100) if start < 200 else None
        return reply_json({"items": ORDERS[start : start + 100], "meta": {"next": following}})

    options = {
        "records": "items",
        "params": {"state": "open"},
        "pagination": {"type": "cursor", "cursor": "meta.next", "param": "after"},
    }
    with serving(cursored) as web:
        pages = pull(connection_to(web.url), options)

    assert [record for page in pages for record in page.records] == ORDERS
    assert [request.query for request in web.requests] == [
        {"state": "open"},
        {"state": "open", "after": "100"},
        {"state": "open", "after": "200"},
    ]


def test_link_pagination_pulls_every_record():
    def linked(request: Request) -> Reply:
        page = int(request.query.get("p", 1))
        link = {"Link": f'</orders?p={page + 1}>; rel="next", </orders>; rel="first"'} if page < 3 else {}
        return reply_json([{"id": page}], **link)

    with serving(linked) as web:
        pages = pull(connection_to(web.url), {"path": "orders", "pagination": {"type": "link"}})

    assert [page.records for page in pages] == [[{"id": 1}], [{"id": 2}], [{"id": 3}]]


@pytest.mark.parametrize(
    ("fields", "header", "value"),
    [
        ({"auth": "bearer", "secret": "s3cret"}, "authorization", "Bearer s3cret"),
        ({"auth": "basic", "auth_username": "me", "secret": "pw"}, "authorization", "Basic bWU6cHc="),
        ({"auth": "header", "auth_header": "X-Api-Key", "secret": "k"}, "x-api-key", "k"),
    ],
)
def test_connection_authenticates(fields, header, value):
    with serving(lambda request: reply_json([])) as web:
        pull(connection_to(web.url, **fields), {})

    assert web.requests[0].headers[header] == value


def test_unset_secret_variable_is_reported(monkeypatch):
    monkeypatch.delenv("SHOP_TOKEN", raising=False)

    with pytest.raises(ConnectorError, match="environment variable SHOP_TOKEN"):
        pull(connection_to("http://127.0.0.1:9", auth="bearer", secret_env="SHOP_TOKEN"), {})


def test_netrc_and_environment_proxies_are_ignored(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    with serving(lambda request: reply_json([])) as web:
        pull(connection_to(web.url), {})

    assert "authorization" not in web.requests[0].headers


def test_unreachable_host_is_reported_after_all_attempts(caplog):
    with pytest.raises(ConnectorError, match=r"Connection refused.*gave up after 2 attempts"):
        pull(connection_to("http://127.0.0.1:9"), {}, make_context(max_attempts=2))

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "attempt 1 of 2" in caplog.text


def test_failed_attempt_of_stopped_run_is_not_logged(caplog):
    class Stopped(Exception):
        pass

    tried = []

    def attempt():
        tried.append(1)
        raise TemporaryError("connection lost")

    def check():
        if tried:
            raise Stopped

    with pytest.raises(Stopped):
        with_retries(attempt, make_context(max_attempts=3, check=check))

    assert "connection lost" not in caplog.text


def test_unknown_host_is_reported():
    with pytest.raises(ConnectorError, match="unknown host"):
        pull(connection_to("http://nowhere.invalid"), {})


def test_silent_host_is_reported_after_read_timeout():
    def silent(request: Request) -> Reply:
        return Reply(200, (time.sleep(1) or b"" for _ in range(1)), {"Content-Length": "10"})

    with serving(silent) as web, pytest.raises(ConnectorError, match="read timeout"):
        pull(connection_to(web.url, read_timeout=0.3), {})


def test_interrupted_response_is_retried():
    attempts = count(1)

    def broken(request: Request) -> Reply:
        if next(attempts) == 1:
            return Reply(200, iter([b"[1,"]), {"Content-Length": "10", "Connection": "close"})
        return reply_json([1])

    with serving(broken) as web:
        pages = pull(connection_to(web.url), {}, make_context(max_attempts=2))

    assert pages[0].records == [1]


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[1, NaN]", b"\xff[]", b"[" * 200_000])
def test_response_that_is_not_json_is_reported(body):
    with (
        serving(lambda request: Reply(200, body, {"Content-Type": "text/html"})) as web,
        pytest.raises(ConnectorError, match=r"GET http.*\(text/html\) is not JSON"),
    ):
        pull(connection_to(web.url), {})


def test_empty_response_is_reported():
    with (
        serving(lambda request: Reply(200)) as web,
        pytest.raises(ConnectorError, match=r"200 OK.*empty"),
    ):
        pull(connection_to(web.url), {})


@pytest.mark.parametrize("expression", ["data.items", "length(@)", "keys(`1`)", "@"])
def test_expression_without_list_is_reported(expression):
    with (
        serving(lambda request: reply_json({"data": {"rows": []}})) as web,
        pytest.raises(ConnectorError, match="The JMESPath “"),
    ):
        pull(connection_to(web.url), {"records": expression})


def test_error_status_is_reported_without_secrets_and_not_retried():
    with (
        serving(lambda request: reply_json({"detail": "x" * 1000}, 403)) as web,
        pytest.raises(ConnectorError) as caught,
    ):
        pull(connection_to(web.url), {"params": {"api_key": "s3cret"}}, make_context(max_attempts=3))

    assert "403 Forbidden" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    "pagination",
    [
        {"type": "page"},
        {"type": "offset"},
        {"type": "cursor", "cursor": "next"},
        {"type": "link"},
    ],
)
def test_endless_pagination_is_reported(pagination):
    def endless(request: Request) -> Reply:
        return reply_json({"rows": [{"id": 1}] * 100, "next": "again"}, Link="</?again=1>; rel=next")

    with serving(endless) as web, pytest.raises(ConnectorError, match="the pull would never end"):
        pull(connection_to(web.url), {"records": "rows", "pagination": pagination})

    assert len(web.requests) <= 3


def test_cyclic_cursors_are_reported():
    number = count(1)

    def circling(request: Request) -> Reply:
        current = next(number)
        return reply_json({"rows": [{"id": current}], "next": f"c{current % 5}"})

    options = {"records": "rows", "pagination": {"type": "cursor", "cursor": "next"}}
    with serving(circling) as web, pytest.raises(ConnectorError, match="the pull would never end"):
        pull(connection_to(web.url), options)

    assert len(web.requests) < 20


def test_page_limit_is_enforced(settings):
    settings.MAX_PAGES = 5
    number = count(1)
    with (
        serving(lambda request: reply_json([{"id": next(number)}])) as web,
        pytest.raises(ConnectorError, match=r"more than 5 pages.*SYNCLOG_MAX_PAGES"),
    ):
        pull(connection_to(web.url), {"pagination": {"type": "page"}})

    assert len(web.requests) == 5


def test_compressed_response_is_stored_decompressed():
    content = json.dumps(ORDERS).encode()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    with serving(lambda request: Reply(200, gzip.compress(content), headers)) as web:
        pages = pull(connection_to(web.url), {})

    assert bytes_of(pages[0].body) == content


def test_chunked_response_is_read_completely():
    chunks = [b"4\r\n[1, \r\n", b"2\r\n2]\r\n", b"0\r\n\r\n"]
    with serving(lambda request: Reply(200, iter(chunks), {"Transfer-Encoding": "chunked"})) as web:
        pages = pull(connection_to(web.url), {})

    assert bytes_of(pages[0].body) == b"[1, 2]"


def test_interrupted_chunked_response_is_reported():
    headers = {"Transfer-Encoding": "chunked", "Connection": "close"}
    with (
        serving(lambda request: Reply(200, iter([b"2\r\n[]\r\n"]), headers)) as web,
        pytest.raises(ConnectorError, match="connection failed"),
    ):
        pull(connection_to(web.url), {})


def test_cancelled_run_stops_during_a_slow_response():
    class Cancelled(Exception):
        pass

    calls = count(1)

    def check() -> None:
        if next(calls) > 5:
            raise Cancelled

    def slow():
        while True:
            yield b" " * 100_000

    with (
        serving(lambda request: Reply(200, slow(), {"Connection": "close"})) as web,
        pytest.raises(Cancelled),
    ):
        pull(connection_to(web.url), {}, make_context(check=check))


def test_request_is_logged(caplog):
    with caplog.at_level(logging.DEBUG), serving(lambda request: reply_json([])) as web:
        pull(connection_to(web.url), {})

    assert f"GET {web.url}: 200 OK, 2 bytes in" in caplog.text


@pytest.mark.parametrize("kind", ["carrier-pigeon", ""])
def test_unknown_connection_kind_is_reported(kind):
    connection = connection_to("http://127.0.0.1:9")
    connection.kind = kind

    with pytest.raises(ConnectorError):
        pull(connection, {})


def test_url_with_credentials_is_rejected():
    with pytest.raises(ConnectorError, match="Credentials are not allowed in an address"):
        pull(connection_to("http://me:pw@127.0.0.1:9"), {})
