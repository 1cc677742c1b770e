"""Nothing is altered between source and destination: numbers, characters and keys."""

import json
import logging

import pytest

from apps.services.connectors.base import ConnectorError
from tests.services.transfers import bytes_of, connection_to, pull, push
from tests.services.web import Reply, serving

VALUES = (
    '[{"id": 10045, "price": 1234567890.123456789, "tax": 19.90, "factor": 1E5, "none": -0.0, "zero": -0, '
    '"big": 123456789012345678901234567890, "nul": "\\u0000", "half": "\\ud800"}]'
)


def serving_data(data, content_type="application/json"):
    return serving(lambda request: Reply(200, data, {"Content-Type": content_type}))


@pytest.fixture
def root(settings, tmp_path):
    settings.FILE_ROOTS = [tmp_path]
    return tmp_path


def test_values_are_unchanged_from_http_to_http():
    with serving_data(VALUES.encode()) as web:
        [page] = pull(connection_to(web.url), {})
        push(connection_to(web.url), {}, [page.records])

    assert web.requests[1].body.decode() == VALUES


@pytest.mark.parametrize("format_", ["json", "ndjson"])
def test_values_are_unchanged_from_file_to_file(root, format_):
    record = VALUES[1:-1]
    (root / f"in.{format_}").write_text(VALUES if format_ == "json" else f"{record}\n")
    connection = connection_to(f"file://{root}")

    [page] = pull(connection, {"path": f"in.{format_}"})
    push(connection, {"path": "out.ndjson"}, [page.records])
    push(connection, {"path": "out.csv"}, [[{"price": record["price"]} for record in page.records]])

    assert (root / "out.ndjson").read_text() == f"{record}\n"
    assert (root / "out.csv").read_text() == "price\n1234567890.123456789\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("suffix", ["json", "ndjson"])
def test_file_in_another_unicode_encoding(root, suffix, encoding):
    # Each of its characters has a byte that is a line end.
    name = "\u0a05\u050a"
    text = f'{{"id": 1.50, "name": "{name}"}}'
    lines = f"[{text},\n{text}]" if suffix == "json" else f"{text}\r\n{text}\n"
    (root / f"in.{suffix}").write_bytes(lines.encode(encoding))

    [page] = pull(connection_to(f"file://{root}"), {"path": f"in.{suffix}"})

    assert [(str(record["id"]), record["name"]) for record in page.records] == [("1.50", name)] * 2


def test_large_array_is_read_record_by_record(root):
    """Pieces of the file end within numbers, escapes and characters."""
    records = [{"id": number, "name": 'Käse 😀 \\ "' * 7, "list": [None, True, {}]} for number in range(3000)]
    (root / "in.json").write_text("\ufeff" + json.dumps(records, indent=1))
    (root / "wide.json").write_text(json.dumps(records, ensure_ascii=False), encoding="utf-16")

    pages = pull(connection_to(f"file://{root}"), {"path": "*.json", "page_size": 1000})

    assert [len(page.records) for page in pages] == [1000] * 6
    assert [record for page in pages for record in page.records] == records * 2


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [
        ("latin-1", "application/json; charset=ISO-8859-1"),
        ("cp1252", 'application/json;charset="windows-1252"'),
        ("utf-16", "application/json"),
        ("utf-8-sig", "application/json; charset=iso-8859-1"),
    ],
)
def test_json_in_another_charset(encoding, content_type):
    with serving_data('[{"id": "Käse"}]'.encode(encoding), content_type) as web:
        [page] = pull(connection_to(web.url), {})

    assert page.records == [{"id": "Käse"}]
    assert bytes_of(page.body) == '[{"id": "Käse"}]'.encode(encoding)


def test_charset_other_than_utf_8_is_stored_with_the_payload():
    types = ["application/json; charset=ISO-8859-1", "application/json; charset=UTF-8"]
    stored = []
    for content_type in types:
        with serving_data(b"[]", content_type) as web:
            [page] = pull(connection_to(web.url), {})
        stored.append(page.body.content_type)

    assert stored == ["application/json; charset=iso-8859-1", "application/json"]


def test_unknown_charset_is_an_error():
    with (
        serving_data(b"[]", "application/json; charset=klingon") as web,
        pytest.raises(ConnectorError, match="the charset “klingon” of its content type is unknown"),
    ):
        pull(connection_to(web.url), {})


def test_repeated_keys_are_one_warning_per_page(caplog):
    data = b'[{"id": 1, "a": 2, "a": 3}, {"id": 2, "id": 3, "a": 4, "a": 5}]'

    with serving_data(data) as web, caplog.at_level(logging.WARNING):
        [page] = pull(connection_to(web.url), {})

    assert page.records == [{"id": 1, "a": 3}, {"id": 3, "a": 5}]
    assert caplog.messages == [
        f"GET {web.url}: objects contain keys more than once, of which the last counts: a, id"
    ]


def test_repeated_keys_in_a_file_are_one_warning_per_page(root, caplog):
    (root / "in.ndjson").write_text('{"a": 1, "a": 2}\n{"a": 3, "a": 4}\n{"b": 5, "b": 6}\n{"c": 7}\n')

    pull(connection_to(f"file://{root}"), {"path": "in.ndjson", "page_size": 2})

    assert caplog.messages == [
        "in.ndjson, records 1–2: objects contain keys more than once, of which the last counts: a",
        "in.ndjson, records 3–4: objects contain keys more than once, of which the last counts: b",
    ]


def test_exact_number_as_cursor():
    def respond(request):
        following = {} if request.query else {"next": 12345678901234567890.10}
        text = json.dumps({"items": [{"id": 1}] if not request.query else []} | following)
        return Reply(200, text.replace("1.2345678901234567e+19", "12345678901234567890.10").encode())

    with serving(respond) as web:
        pull(
            connection_to(web.url),
            {"records": "items", "pagination": {"type": "cursor", "cursor": "next", "param": "after"}},
        )

    assert web.requests[1].query == {"after": "12345678901234567890.10"}
