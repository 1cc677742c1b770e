"""Options of sources, destinations and runs: what is understood, and how what is not is told."""

import pytest
from django.core.exceptions import ValidationError

from apps.services.definition.connection_url import validate_address, without_secrets
from apps.services.definition.option_values import Expression
from apps.services.definition.options import (
    Cursors,
    FileDestination,
    FileSource,
    HttpDestination,
    HttpSource,
    PageNumbers,
    SinglePage,
    destination_from,
    run_options_from,
    source_from,
)
from apps.services.models import Service


def errors_of(read, *arguments, **named) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        read(*arguments, **named)
    return caught.value.message_dict


def test_defaults_of_an_http_source():
    assert source_from("http", {}) == HttpSource(
        path="",
        records=Expression.compile("@"),
        id_field="id",
        page_size=100,
        params={},
        headers={},
        pagination=SinglePage(),
    )


def test_every_option_of_an_http_source():
    source = source_from(
        "http",
        {
            "path": "/orders",
            "records": "data.items",
            "id_field": "number",
            "page_size": "50",
            "params": {"open": True, "since": 2024},
            "headers": {"X-Tenant": "acme"},
            "pagination": {"type": "page", "page_param": "_page", "size_param": "_limit", "first": 0},
        },
    )

    assert isinstance(source, HttpSource)
    assert (source.page_size, source.params) == (50, {"open": "true", "since": "2024"})
    assert source.pagination == PageNumbers("_page", "_limit", 0)


def test_cursor_is_compiled():
    source = source_from("http", {"pagination": {"type": "cursor", "cursor": "meta.next", "param": "after"}})

    assert isinstance(source, HttpSource)
    assert source.pagination == Cursors(Expression.compile("meta.next"), "after", "")


def test_defaults_of_the_others():
    assert destination_from("http", {}) == HttpDestination("", "POST", 100, {}, {})
    assert source_from("file", {"path": "in/*.jsonl"}) == FileSource(
        "in/*.jsonl", "ndjson", Expression.compile("@"), "id", 1000
    )
    assert destination_from("file", {"path": "out/{run}-{page}.csv"}) == FileDestination(
        "out/{run}-{page}.csv", "csv"
    )


def test_unknown_keys_list_the_known_ones():
    assert errors_of(destination_from, "http", {"pth": "/x"}) == {
        "pth": ["There is no such option; known are batch_size, headers, method, params, path."]
    }
    assert errors_of(source_from, "http", {"pagination": {"type": "offset", "cursor": "x"}}) == {
        "pagination.cursor": ["There is no such option; known are offset_param, size_param, type."]
    }


def test_unknown_kind_of_connection():
    for read in (source_from, destination_from):
        assert errors_of(read, "carrier-pigeon", {}) == {
            "connection": ["“carrier-pigeon” is no kind of connection; known are http, file."]
        }


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("path", {"path": "../x"}),
        ("path", {"path": "a/%2e%2e/x"}),
        ("path", {"path": "a/%252e%252e/x"}),
        ("path", {"path": "http://evil/x"}),
        ("path", {"path": "a b"}),
        ("path", {"path": "a#b"}),
        ("path", {"path": "a\\..\\b"}),
        ("path", {"path": "a\r\nX: 1"}),
        ("path", {"path": 7}),
        ("records", {"records": "data["}),
        ("records", {"records": "(" * 1500}),
        ("page_size", {"page_size": 0}),
        ("page_size", {"page_size": True}),
        ("page_size", {"page_size": 1.5}),
        ("page_size", {"page_size": "many"}),
        ("page_size", {"page_size": "9" * 400}),
        ("params", {"params": ["a"]}),
        ("params.a", {"params": {"a": {}}}),
        ("headers.X A", {"headers": {"X A": "1"}}),
        ("headers.X-A", {"headers": {"X-A": "1\r\nX-B: 2"}}),
        ("headers.X-A\n", {"headers": {"X-A\n": "1"}}),
        ("headers.X-A", {"headers": {"X-A": "Käse"}}),
        ("headers.Authorization", {"headers": {"Authorization": "Bearer x"}}),
        ("headers.cookie", {"headers": {"cookie": "a=b"}}),
        ("headers.Host", {"headers": {"Host": "evil"}}),
        ("headers.x-api-key", {"headers": {"x-api-key": "1"}}),
        ("pagination", {"pagination": "page"}),
        ("pagination.type", {"pagination": {"type": "pages"}}),
        ("pagination.type", {"pagination": {"type": ["page"]}}),
        ("pagination.cursor", {"pagination": {"type": "cursor"}}),
        ("pagination.first", {"pagination": {"type": "page", "first": -1}}),
    ],
)
def test_wrong_option_of_an_http_source_is_told_by_its_key(key, data):
    assert list(errors_of(source_from, "http", data, auth_header="X-Api-Key")) == [key]


@pytest.mark.parametrize(
    ("key", "read", "data"),
    [
        ("method", destination_from, {"method": "GET", "path": "x"}),
        ("batch_size", destination_from, {"batch_size": -1}),
    ],
)
def test_wrong_option_of_an_http_destination_is_told_by_its_key(key, read, data):
    assert list(errors_of(read, "http", data)) == [key]


@pytest.mark.parametrize(
    ("key", "read", "data"),
    [
        ("path", source_from, {"format": "csv"}),
        ("path", source_from, {"path": "../x.csv"}),
        ("path", source_from, {"path": "/x.csv"}),
        ("path", source_from, {"path": "a::b.csv"}),
        ("format", source_from, {"path": "x.xlsx"}),
        ("format", source_from, {"path": "x.csv", "format": "xlsx"}),
        ("records", source_from, {"path": "x.csv", "records": "a"}),
        ("path", destination_from, {"path": "{date}.csv"}),
        ("path", destination_from, {"path": "{run}/"} | {"format": "csv"}),
        ("path", destination_from, {"path": "*.csv"}),
    ],
)
def test_wrong_option_of_files_is_told_by_its_key(key, read, data):
    assert list(errors_of(read, "file", data)) == [key]


def test_all_that_is_wrong_is_told_at_once():
    assert sorted(errors_of(source_from, "http", {"path": "..", "page_size": 0, "x": 1})) == [
        "page_size",
        "path",
        "x",
    ]


def test_run_options_may_be_texts():
    given = {"page_size": "50", "max_attempts": 2, "record_id": " 10045 "}

    assert run_options_from(Service(), given) == {"page_size": 50, "max_attempts": 2, "record_id": "10045"}
    assert run_options_from(Service(), {"page_size": "", "record_id": None}) == {}
    assert run_options_from(Service(), {"record_id": 10045}) == {"record_id": "10045"}


@pytest.mark.parametrize(
    "given",
    [{"page_size": 0}, {"page_size": 100_001}, {"max_attempts": 21}, {"record_id": ["1"]}, {"pages": 1}],
)
def test_wrong_run_option_is_told_by_its_key(given):
    assert list(errors_of(run_options_from, Service(), given)) == list(given)


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("http", "http://127.0.0.1:3000"),
        ("http", "https://[::1]:8443/api"),
        ("file", "file:///srv/drop"),
        ("file", "s3://bucket/in"),
        ("file", "sftp://me@host/in"),
        ("file", "memory://x"),
    ],
)
def test_address_is_allowed(kind, url):
    validate_address(kind, url)


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("http", ""),
        ("http", "shop"),
        ("http", "ftp://shop"),
        ("http", "http:///x"),
        ("http", "http://shop:99999"),
        ("http", "http://shop/../x"),
        ("http", "http://me:pw@shop"),
        ("http", "http://shop/?token=x"),
        ("http", "http://shop\r\n/"),
        ("http", "http://[::1"),
        ("file", "/srv/drop"),
        ("file", "file://srv/drop"),
        ("file", "file:///srv/../etc"),
        ("file", "sftp://me:pw@host/in"),
        ("file", "simplecache::s3://bucket"),
        ("file", "zip://x::file:///y"),
        ("file", "memory://x::file:///y"),
        ("file", "http://shop"),
    ],
)
def test_address_is_refused(kind, url):
    with pytest.raises(ValidationError):
        validate_address(kind, url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@shop/a?page=2#x", "https://shop/a?page=2"),
        (
            "https://shop/?api_key=1&Access-Token=2&q=3&sig=4",
            "https://shop/?api_key=••••&Access-Token=••••&q=3&sig=••••",
        ),
        ("https://me:pw@[shop/", "[shop/"),
    ],
)
def test_address_is_shown_without_secrets(url, shown):
    assert without_secrets(url) == shown
