"""Pulling from an HTTP system: paging, sign-in, and every way in which a source may let a run down."""

import gzip
import json
import logging
import time
from itertools import count

import pytest

from apps.services.connectors import ConnectorError
from apps.services.connectors.retry import TemporaryError, with_retries
from tests.services.running import bytes_of, connection_to, facts_of, pull
from tests.services.web import Asked, Reply, reply_json, serving

ORDERS = [{"id": number} for number in range(1, 251)]


def paged(asked: Asked) -> Reply:
    size, page = int(asked.query["_limit"]), int(asked.query["_page"])
    return reply_json(ORDERS[(page - 1) * size : page * size])


BY_PAGE = {
    "path": "/orders",
    "page_size": 100,
    "pagination": {"type": "page", "page_param": "_page", "size_param": "_limit"},
}


def test_pages_by_number_end_at_the_short_page():
    with serving(paged) as web:
        pages = pull(connection_to(web.url), BY_PAGE)

    assert [len(page.records) for page in pages] == [100, 100, 50]
    assert [record for page in pages for record in page.records] == ORDERS
    assert [page.number for page in pages] == [1, 2, 3]
    assert pages[1].origin == f"{web.url}/orders?_page=2&_limit=100"
    assert bytes_of(pages[2].body) == json.dumps(ORDERS[200:]).encode()
    assert len(web.asked) == 3


def test_pages_by_number_end_at_the_empty_page():
    with serving(paged) as web:
        pages = pull(connection_to(web.url), BY_PAGE, facts_of(page_size=125))

    assert [len(page.records) for page in pages] == [125, 125, 0]


def test_short_page_is_not_the_last_where_a_link_names_another():
    def capped(asked: Asked) -> Reply:
        page = int(asked.query["_page"])
        links = {"Link": f"<?_page={page + 1}>; rel=next"} if page < 3 else {}
        return reply_json(ORDERS[(page - 1) * 20 : page * 20], **links)

    with serving(capped) as web:
        pages = pull(connection_to(web.url), BY_PAGE)

    assert [len(page.records) for page in pages] == [20, 20, 20]


def test_pages_by_offset():
    def sliced(asked: Asked) -> Reply:
        start, size = int(asked.query["offset"]), int(asked.query["limit"])
        return reply_json({"data": ORDERS[start : start + size]})

    with serving(sliced) as web:
        pages = pull(
            connection_to(web.url), {"records": "data", "page_size": 200, "pagination": {"type": "offset"}}
        )

    assert [record for page in pages for record in page.records] == ORDERS
    assert [asked.query["offset"] for asked in web.asked] == ["0", "200"]


def test_pages_by_cursor():
    def cursored(asked: Asked) -> Reply:
        start = int(asked.query.get("after", 0))
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
    assert [asked.query for asked in web.asked] == [
        {"state": "open"},
        {"state": "open", "after": "100"},
        {"state": "open", "after": "200"},
    ]


def test_pages_by_link_header():
    def linked(asked: Asked) -> Reply:
        page = int(asked.query.get("p", 1))
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
def test_signs_in(fields, header, value):
    with serving(lambda asked: reply_json([])) as web:
        pull(connection_to(web.url, **fields), {})

    assert web.asked[0].headers[header] == value


def test_secret_of_an_environment_variable_that_is_not_set(monkeypatch):
    monkeypatch.delenv("SHOP_TOKEN", raising=False)

    with pytest.raises(ConnectorError, match="environment variable SHOP_TOKEN"):
        pull(connection_to("http://127.0.0.1:9", auth="bearer", secret_env="SHOP_TOKEN"), {})


def test_netrc_and_proxies_of_the_environment_do_not_count(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    with serving(lambda asked: reply_json([])) as web:
        pull(connection_to(web.url), {})

    assert "authorization" not in web.asked[0].headers


def test_unreachable_host_is_told_after_its_attempts(caplog):
    with pytest.raises(ConnectorError, match=r"Connection refused.*gave up after 2 attempts"):
        pull(connection_to("http://127.0.0.1:9"), {}, facts_of(max_attempts=2))

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "attempt 1 of 2" in caplog.text


def test_attempt_that_fails_after_the_run_was_stopped_is_not_told(caplog):
    class Stopped(Exception):
        pass

    tried = []

    def attempt():
        tried.append(1)
        raise TemporaryError("the connection was broken off")

    def check():
        if tried:
            raise Stopped

    with pytest.raises(Stopped):
        with_retries(attempt, facts_of(max_attempts=3, check=check))

    assert "broken off" not in caplog.text


def test_unknown_host_name_is_told():
    with pytest.raises(ConnectorError, match="unknown host"):
        pull(connection_to("http://nowhere.invalid"), {})


def test_silent_host_is_told_after_the_read_timeout():
    def silent(asked: Asked) -> Reply:
        return Reply(200, (time.sleep(1) or b"" for _ in range(1)), {"Content-Length": "10"})

    with serving(silent) as web, pytest.raises(ConnectorError, match="read timeout"):
        pull(connection_to(web.url, read_timeout=0.3), {})


def test_answer_that_breaks_off_is_tried_again():
    attempts = count(1)

    def broken(asked: Asked) -> Reply:
        if next(attempts) == 1:
            return Reply(200, iter([b"[1,"]), {"Content-Length": "10", "Connection": "close"})
        return reply_json([1])

    with serving(broken) as web:
        pages = pull(connection_to(web.url), {}, facts_of(max_attempts=2))

    assert pages[0].records == [1]


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[1, NaN]", b"\xff[]", b"[" * 200_000])
def test_answer_that_is_no_json_is_told(body):
    with (
        serving(lambda asked: Reply(200, body, {"Content-Type": "text/html"})) as web,
        pytest.raises(ConnectorError, match=r"GET http.*\(text/html\) is not JSON"),
    ):
        pull(connection_to(web.url), {})


def test_empty_answer_is_told():
    with (
        serving(lambda asked: Reply(204)) as web,
        pytest.raises(ConnectorError, match=r"204 No Content.*empty"),
    ):
        pull(connection_to(web.url), {})


@pytest.mark.parametrize("expression", ["data.items", "length(@)", "keys(`1`)", "@"])
def test_jmespath_that_finds_no_list_is_told(expression):
    with (
        serving(lambda asked: reply_json({"data": {"rows": []}})) as web,
        pytest.raises(ConnectorError, match="The JMESPath “"),
    ):
        pull(connection_to(web.url), {"records": expression})


def test_status_that_refuses_is_told_without_secrets_and_not_tried_again():
    with (
        serving(lambda asked: reply_json({"detail": "x" * 1000}, 403)) as web,
        pytest.raises(ConnectorError) as caught,
    ):
        pull(connection_to(web.url), {"params": {"api_key": "s3cret"}}, facts_of(max_attempts=3))

    assert "403 Forbidden" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    "pagination",
    [
        {"type": "page"},
        {"type": "offset"},
        {"type": "cursor", "cursor": "next"},
        {"type": "link"},
    ],
)
def test_paging_that_never_ends_is_told(pagination):
    def endless(asked: Asked) -> Reply:
        return reply_json({"rows": [{"id": 1}] * 100, "next": "again"}, Link="</?again=1>; rel=next")

    with serving(endless) as web, pytest.raises(ConnectorError, match="the pull would never end"):
        pull(connection_to(web.url), {"records": "rows", "pagination": pagination})

    assert len(web.asked) <= 3


def test_cursors_that_go_round_in_a_circle_are_told():
    number = count(1)

    def circling(asked: Asked) -> Reply:
        current = next(number)
        return reply_json({"rows": [{"id": current}], "next": f"c{current % 5}"})

    options = {"records": "rows", "pagination": {"type": "cursor", "cursor": "next"}}
    with serving(circling) as web, pytest.raises(ConnectorError, match="the pull would never end"):
        pull(connection_to(web.url), options)

    assert len(web.asked) < 20


def test_more_pages_than_a_run_may_have_are_told(settings):
    settings.MAX_PAGES = 5
    number = count(1)
    with (
        serving(lambda asked: reply_json([{"id": next(number)}])) as web,
        pytest.raises(ConnectorError, match=r"more than 5 pages.*SYNCLOG_MAX_PAGES"),
    ):
        pull(connection_to(web.url), {"pagination": {"type": "page"}})

    assert len(web.asked) == 5


def test_compressed_answer_is_kept_decompressed():
    content = json.dumps(ORDERS).encode()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    with serving(lambda asked: Reply(200, gzip.compress(content), headers)) as web:
        pages = pull(connection_to(web.url), {})

    assert bytes_of(pages[0].body) == content


def test_chunked_answer_is_read_to_its_end():
    chunks = [b"4\r\n[1, \r\n", b"2\r\n2]\r\n", b"0\r\n\r\n"]
    with serving(lambda asked: Reply(200, iter(chunks), {"Transfer-Encoding": "chunked"})) as web:
        pages = pull(connection_to(web.url), {})

    assert bytes_of(pages[0].body) == b"[1, 2]"


def test_chunked_answer_that_breaks_off_is_told():
    headers = {"Transfer-Encoding": "chunked", "Connection": "close"}
    with (
        serving(lambda asked: Reply(200, iter([b"2\r\n[]\r\n"]), headers)) as web,
        pytest.raises(ConnectorError, match="connection failed"),
    ):
        pull(connection_to(web.url), {})


def test_cancelled_run_stops_in_the_middle_of_a_slow_answer():
    class Cancelled(Exception):
        pass

    calls = count(1)

    def check() -> None:
        if next(calls) > 5:
            raise Cancelled

    def slow():
        while True:
            yield b" " * 100_000

    with serving(lambda asked: Reply(200, slow(), {"Connection": "close"})) as web, pytest.raises(Cancelled):
        pull(connection_to(web.url), {}, facts_of(check=check))


def test_attempts_are_logged(caplog):
    with caplog.at_level(logging.DEBUG), serving(lambda asked: reply_json([])) as web:
        pull(connection_to(web.url), {})

    assert f"GET {web.url}: 200 OK, 2 bytes in" in caplog.text


@pytest.mark.parametrize("kind", ["carrier-pigeon", ""])
def test_unknown_kind_of_connection_is_told(kind):
    connection = connection_to("http://127.0.0.1:9")
    connection.kind = kind

    with pytest.raises(ConnectorError):
        pull(connection, {})


def test_address_with_credentials_in_it_is_refused():
    with pytest.raises(ConnectorError, match="Credentials are not allowed in an address"):
        pull(connection_to("http://me:pw@127.0.0.1:9"), {})
