"""Options of sources, destinations and runs: defaults, values, and errors by key."""

import pytest
from django.core.exceptions import ValidationError
from django.utils.translation import override

from apps.services.definition.connection_url import validate_address, without_secrets
from apps.services.definition.expression import Expression
from apps.services.definition.http_options import HttpSource
from apps.services.definition.options import read_destination, read_run_options, read_source
from apps.services.definition.pagination_options import Cursors, PageNumbers, SinglePage


def errors_of(read, *arguments, **named) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        read(*arguments, **named)
    return caught.value.message_dict


def test_http_source_has_defaults():
    source = read_source("http", {})

    assert source == HttpSource()
    assert (source.records.text, source.page_size, source.pagination) == ("@", 100, SinglePage())


def test_http_source_accepts_every_option():
    source = read_source(
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
    assert source.pagination == PageNumbers(page_param="_page", size_param="_limit", first=0)


def test_cursor_is_compiled():
    source = read_source("http", {"pagination": {"type": "cursor", "cursor": "meta.next", "param": "after"}})

    assert isinstance(source, HttpSource)
    assert isinstance(source.pagination, Cursors)
    assert source.pagination.cursor == Expression.compile("meta.next")


def test_destinations_and_files_have_defaults():
    assert read_destination("http", {}).model_dump() == {
        "path": "",
        "method": "POST",
        "batch_size": 100,
        "wrap": "",
        "results": None,
        "accept_status": (),
        "id_field": None,
        "skip_unchanged": False,
        "params": {},
        "headers": {},
    }
    assert read_source("file", {"path": "in/*.jsonl"}).model_dump() == {
        "path": "in/*.jsonl",
        "format": "ndjson",
        "records": "@",
        "id_field": "id",
        "csv": {"delimiter": "auto", "encoding": "auto", "names": (), "skip_rows": 0},
        "xml": None,
        "sheet": "",
        "header_row": 1,
        "compression": "auto",
        "page_size": 1000,
        "only_new": False,
        "min_age_seconds": 0,
        "after": None,
    }
    assert read_destination("file", {"path": "out/{run}-{page}.csv"}).model_dump() == {
        "path": "out/{run}-{page}.csv",
        "format": "csv",
        "csv": {"delimiter": "auto", "encoding": "auto", "names": ()},
        "compression": "auto",
        "id_field": None,
    }


@pytest.mark.parametrize(
    ("path", "format_"),
    [
        ("in/*.CSV.gz", "csv"),
        ("a.tsv", "csv"),
        ("a.xml.zip", "xml"),
        ("a.xlsx", "xlsx"),
        ("a.jsonl.zst", "ndjson"),
    ],
)
def test_suffix_before_that_of_the_compression_gives_the_format(path, format_):
    xml = {"xml": {"record": "order"}} if format_ == "xml" else {}

    assert read_source("file", {"path": path, **xml}).format == format_


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_value_selects_the_default(empty):
    assert read_source("http", {"page_size": empty, "records": empty, "pagination": empty}) == HttpSource()


@pytest.mark.parametrize("statuses", [[409, "404"], "409, 404", (409, 404)])
def test_accepted_statuses_are_a_list_or_text(statuses):
    assert read_destination("http", {"accept_status": statuses}).accept_status == (409, 404)


@pytest.mark.parametrize("batch_size", [None, "", 1])
def test_fields_in_the_path_make_batches_of_one_record(batch_size):
    options = read_destination("http", {"path": "/items/{id}", "batch_size": batch_size})

    assert options.batch_size == 1


def test_unknown_key_error_lists_known_keys():
    assert errors_of(read_destination, "http", {"pth": "/x"}) == {
        "pth": [
            "Unknown option. Allowed: accept_status, batch_size, headers, id_field, method, params, path, results, "
            "skip_unchanged, wrap."
        ]
    }
    assert errors_of(read_source, "http", {"pagination": {"type": "offset", "cursor": "x"}}) == {
        "pagination.cursor": [
            "Unknown option. Allowed: end_status, has_more, offset_param, size_param, type."
        ]
    }


def test_unknown_connection_kind_error_lists_known_kinds():
    for read in (read_source, read_destination):
        assert errors_of(read, "carrier-pigeon", {}) == {
            "connection": ["Unknown kind of connection “carrier-pigeon”. Allowed: http, file."]
        }


@pytest.mark.parametrize(
    ("data", "key", "message"),
    [
        ({"page_size": 0}, "page_size", "“0” is not valid; write a whole number from 1 to 100000."),
        ({"method": "GET"}, "method", "“GET” is not valid. Allowed: POST, PUT, PATCH, DELETE."),
        ({"path": 7}, "path", "Write text, not 7."),
        ({"params": ["a"]}, "params", "Write names with their values, not ['a']."),
        (
            {"path": "/items/{id}"},
            "path",
            "Unknown placeholder “{id}”. Allowed: {cursor}, {page}, {offset}, {size}, {since}, {run}.",
        ),
    ],
)
def test_error_message_names_problem_and_solution(data, key, message):
    read = read_destination if "method" in data else read_source

    assert errors_of(read, "http", data) == {key: [message]}


def test_messages_are_translated():
    with override("de"):
        assert "Unbekannte Option" in errors_of(read_source, "http", {"pth": "/x"})["pth"][0]


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("path", {"path": "../x"}),
        ("path", {"path": "a/%2e%2e/x"}),
        ("path", {"path": "a/%252e%252e/x"}),
        ("path", {"path": "http://evil/x"}),
        ("path", {"path": "a b"}),
        ("path", {"path": "/items/{id}"}),
        ("path", {"path": "/items/{"}),
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
def test_invalid_option_of_an_http_source_is_reported_by_key(key, data):
    assert list(errors_of(read_source, "http", data, auth_header="X-Api-Key")) == [key]


@pytest.mark.parametrize(
    ("key", "read", "data"),
    [
        ("method", read_destination, {"method": "GET", "path": "x"}),
        ("batch_size", read_destination, {"batch_size": -1}),
        ("batch_size", read_destination, {"batch_size": 2, "path": "/items/{id}"}),
        ("path", read_destination, {"path": "/items/{}"}),
        ("path", read_destination, {"path": "/items/{a|b}"}),
        ("path", read_destination, {"path": "/items/{id"}),
        ("path", read_destination, {"path": "/../{id}"}),
        ("params.key", read_destination, {"params": {"key": "{id}"}}),
        ("headers.X-Key", read_destination, {"headers": {"X-Key": "a {order.id}"}}),
        ("accept_status", read_destination, {"accept_status": [200]}),
        ("accept_status", read_destination, {"accept_status": "409, x"}),
        ("accept_status", read_destination, {"accept_status": {"a": 1}}),
        ("results", read_destination, {"results": "items"}),
        ("results.accepted_if", read_destination, {"results": {"path": "items"}}),
        ("results.path", read_destination, {"results": {"path": "a[", "accepted_if": "ok"}}),
        ("results.status", read_destination, {"results": {"status": "a", "accepted_if": "ok"}}),
    ],
)
def test_invalid_option_of_an_http_destination_is_reported_by_key(key, read, data):
    assert list(errors_of(read, "http", data)) == [key]


@pytest.mark.parametrize(
    ("key", "read", "data"),
    [
        ("path", read_source, {"format": "csv"}),
        ("path", read_source, {"path": "../x.csv"}),
        ("path", read_source, {"path": "/x.csv"}),
        ("path", read_source, {"path": "a::b.csv"}),
        ("format", read_source, {"path": "x.pdf"}),
        ("format", read_source, {"path": "x.csv", "format": "pdf"}),
        ("csv", read_source, {"path": "x.json", "csv": {"delimiter": ";"}}),
        ("csv.delimiter", read_source, {"path": "x.csv", "csv": {"delimiter": "ab"}}),
        ("csv.quote", read_source, {"path": "x.csv", "csv": {"quote": "'"}}),
        ("xml.record", read_source, {"path": "x.xml"}),
        ("xml.record", read_source, {"path": "x.xml", "xml": {"lists": ["item"]}}),
        ("xml", read_source, {"path": "x.csv", "xml": {"record": "order"}}),
        ("sheet", read_source, {"path": "x.csv", "sheet": "Orders"}),
        ("header_row", read_source, {"path": "x.xlsx", "header_row": 0}),
        ("compression", read_source, {"path": "x.csv", "compression": "rar"}),
        ("format", read_source, {"path": "x.zip"}),
        ("format", read_destination, {"path": "x.xml"}),
        ("csv.skip_rows", read_destination, {"path": "x.csv", "csv": {"skip_rows": 1}}),
        ("records", read_source, {"path": "x.csv", "records": "a"}),
        ("after", read_source, {"path": "x.csv", "after": {}}),
        ("after", read_source, {"path": "x.csv", "after": {"move_to": "done", "delete": True}}),
        ("after", read_source, {"path": "in/*.csv", "after": {"move_to": "in/"}}),
        ("after.move_to", read_source, {"path": "x.csv", "after": {"move_to": "../done"}}),
        ("after.move_to", read_source, {"path": "x.csv", "after": {"move_to": "done/*"}}),
        ("min_age_seconds", read_source, {"path": "x.csv", "min_age_seconds": -1}),
        ("path", read_destination, {"path": "{date}.csv"}),
        ("path", read_destination, {"path": "{run}/"} | {"format": "csv"}),
        ("path", read_destination, {"path": "*.csv"}),
    ],
)
def test_invalid_option_of_files_is_reported_by_key(key, read, data):
    assert list(errors_of(read, "file", data)) == [key]


def test_all_errors_are_reported_at_once():
    assert sorted(errors_of(read_source, "http", {"path": "..", "page_size": 0, "x": 1})) == [
        "page_size",
        "path",
        "x",
    ]


def test_run_options_accept_strings():
    given = {"page_size": "50", "max_attempts": 2, "record_id": " 10045 "}

    assert read_run_options(given) == {"page_size": 50, "max_attempts": 2, "record_id": "10045"}
    assert read_run_options({"page_size": "", "record_id": None}) == {}
    assert read_run_options({"record_id": 10045}) == {"record_id": "10045"}


@pytest.mark.parametrize(
    "given",
    [{"page_size": 0}, {"page_size": 100_001}, {"max_attempts": 21}, {"record_id": ["1"]}, {"pages": 1}],
)
def test_invalid_run_option_is_reported_by_key(given):
    assert list(errors_of(read_run_options, given)) == list(given)


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
def test_valid_url_is_accepted(kind, url):
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
        ("http", "https://login.example/{tenant}/token"),
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
def test_invalid_url_is_rejected(kind, url):
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
def test_url_is_shown_without_secrets(url, shown):
    assert without_secrets(url) == shown
