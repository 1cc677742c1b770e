"""Payload preview: formatted by content type, limited in size, escaped, and unavailable after the payload."""

import codecs
import csv
import json
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from apps.console.ui.preview_text import MAX_BYTES, Preview, indented, make_preview
from apps.runs.models import Payload, PayloadRead
from tests.factories import make_payload, make_run, make_user


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user("ada", is_superuser=True))
    return client


def address(payload: Payload) -> str:
    return f"/admin/runs/run/{payload.run_id}/payloads/{payload.pk}/preview/"


def preview(data: bytes, content_type: str = "", name: str = "file", *, is_whole: bool = True) -> Preview:
    return make_preview(data, content_type=content_type, name=name, is_whole=is_whole)


def test_json_is_indented_with_numbers_order_and_duplicates_unchanged() -> None:
    text = '{"b":1.10,"a":[],"c":{},"a":[1,{"x":null}],"big":12345678901234567890123,"t":"a, [b]: \\"c\\""}'

    shown = preview(text.encode(), "application/json").text

    assert shown == (
        '{\n  "b": 1.10,\n  "a": [],\n  "c": {},\n  "a": [\n    1,\n    {\n      "x": null\n    }\n  ],\n'
        '  "big": 12345678901234567890123,\n  "t": "a, [b]: \\"c\\""\n}'
    )
    assert json.loads(shown) == json.loads(text)


def test_text_is_decoded_in_the_charset_of_its_content_type() -> None:
    data = '["Käse"]'.encode("latin-1")

    assert preview(data, "application/json; charset=iso-8859-1").text == '[\n  "Käse"\n]'
    assert preview(data, "application/json; charset=hex").shape == "hex"


def test_truncated_json_is_indented() -> None:
    shown = preview(b'[{"id":1},{"id":2,"na', "application/json", is_whole=False)

    assert shown.text == '[\n  {\n    "id": 1\n  },\n  {\n    "id": 2,\n    "na'
    assert shown.notes == []


def test_invalid_json_is_shown_unchanged_with_a_note() -> None:
    shown = preview(b'{"id": 1,\n "x" 2}', "application/json")

    assert shown.text == '{"id": 1,\n "x" 2}'
    assert shown.notes == ["Invalid JSON: Expecting ':' delimiter, line 2, column 6. It is shown unchanged."]


@pytest.mark.parametrize("data", [b"[" * MAX_BYTES, b'{"a":' * (MAX_BYTES // 5)])
def test_indentation_of_deeply_nested_json_is_limited(data: bytes) -> None:
    shown = preview(data, "application/json")

    assert len(shown.text) < 60 * MAX_BYTES
    assert shown.notes != []


def test_ndjson_is_indented_by_line_and_first_invalid_line_is_named() -> None:
    shown = preview(b'{"a":1}\n{"a":\n{"a":2}\n', name="x.ndjson")

    assert shown.text.startswith('{\n  "a": 1\n}\n{')
    assert shown.notes == ["Line 2 is not valid JSON."]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_delimiter_is_detected(delimiter: str) -> None:
    data = f'id{delimiter}name\n1{delimiter}"a{delimiter}b"\n'.encode()

    shown = preview(data, "text/csv")

    assert (shown.shape, shown.head, shown.rows) == ("table", ["id", "name"], [["1", f"a{delimiter}b"]])


def test_csv_rows_and_columns_are_limited() -> None:
    data = (",".join("x" * 200) + "\n").encode() * 640

    shown = preview(data, "text/csv")
    tall = preview(b"a\n" * 3000, "text/csv")

    assert (len(shown.head), len(tall.rows)) == (60, 1000)
    assert shown.notes == tall.notes == ["At most 1000 rows and 60 columns are shown."]


def test_csv_with_oversized_field_is_shown_as_text() -> None:
    before = csv.field_size_limit(1000)
    try:
        shown = preview(b'a,"' + b"x" * 2000, "text/csv")
    finally:
        csv.field_size_limit(before)

    assert shown.shape == "text"
    assert "Invalid CSV" in shown.notes[0]


def test_binary_is_shown_in_hexadecimal() -> None:
    shown = preview(b"%PDF\x00\xff\xfe<b>" + b"\x00" * 1000, "application/json")

    assert shown.shape == "hex"
    assert shown.text.startswith("000000  25 50 44 46 00 ff fe 3c 62 3e 00")
    assert shown.notes == ["Not UTF-8 text; its first 512 bytes are shown in hexadecimal."]
    assert preview(b"caf\xe9").shape == "hex"


def test_incomplete_character_at_the_end_is_omitted() -> None:
    assert preview("aé".encode()[:-1], is_whole=False).text == "a"


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_byte_order_marks_are_supported(mark: bytes) -> None:
    encoding = "utf-8" if mark == codecs.BOM_UTF8 else "utf-16-le"

    assert preview(mark + "[1]".encode(encoding), "application/json").text == "[\n  1\n]"


def test_empty_file_has_empty_preview() -> None:
    assert preview(b"", "application/json").shape == "empty"


def test_indenting_empty_text_returns_empty_text() -> None:
    assert indented("") == ""


@pytest.mark.django_db
def test_preview_escapes_file_contents(staff: Client) -> None:
    payload = make_payload(body=b'["<script>alert(1)</script>", "\xe2\x80\xae"]', name="<b>.json")
    table = make_payload(body=b"<i>a</i>\n<script>1</script>\n", content_type="text/csv", name="a.csv")

    text = staff.get(address(payload)).content.decode()

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "right-to-left override" in text
    assert "<b>.json" not in text
    assert "<td>&lt;script&gt;1&lt;/script&gt;</td>" in staff.get(address(table)).content.decode()


@pytest.mark.django_db
def test_preview_of_large_file_is_truncated_with_a_note(staff: Client) -> None:
    body = b'[{"id":1}' + b',{"id":2}' * 60_000 + b"]"
    payload = make_payload(body=body)

    response = staff.get(address(payload))

    text = response.content.decode()
    assert "These are the first 256 KiB of 540.0 kB; download the file for the rest." in text
    assert len(text) < 10 * MAX_BYTES
    assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db
def test_preview_is_recorded_in_access_log(staff: Client) -> None:
    payload = make_payload(body=b"[1, 2]")

    staff.get(address(payload))

    [read] = PayloadRead.objects.all()
    assert (read.payload, read.user.username, read.token, read.address) == (payload, "ada", "", "127.0.0.1")
    assert (read.outcome, read.byte_count) == (PayloadRead.Outcome.COMPLETE, 6)


@pytest.mark.django_db
def test_preview_requires_permission(client: Client) -> None:
    payload = make_payload()
    client.force_login(make_user(permissions=["services.view_service", "runs.view_run"]))

    assert client.get(address(payload)).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize(
    "state",
    [
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"status": "deleted", "deleted_at": timezone.now(), "body": None},
        {"body": None},
    ],
)
def test_preview_of_unavailable_payload_shows_message(staff: Client, state: dict) -> None:
    response = staff.get(address(make_payload(**state)))

    assert response.status_code == 410
    assert "This file is no longer available" in response.content.decode()


@pytest.mark.django_db
def test_preview_under_another_run_is_not_found(staff: Client) -> None:
    payload, other = make_payload(), make_run()

    assert staff.get(f"/admin/runs/run/{other.pk}/payloads/{payload.pk}/preview/").status_code == 404


# --- At a record ---


def marked(html: str) -> str:
    return html.partition('id="record">')[2].partition("</mark>")[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        (b'[{"n": 7, "id": 6}, {"id": 7, "at": {"x": 1}}]', "a.json", '  {\n    "id": 7,'),
        (b'[{"id": "7.5"}, {"id": "7"}]', "a.json", '  {\n    "id": "7"\n  }'),
        (b'{"n": 7}\n{"sku": "x-7"}\n', "a.ndjson", '{\n  "n": 7\n}'),
        (b"<o><id>6</id></o>\n<o><id>7</id></o>\n", "a.xml", "<o><id>7</id></o>"),
    ],
)
def test_preview_marks_the_record(staff: Client, body: bytes, name: str, expected: str) -> None:
    payload = make_payload(body=body, name=name, content_type="")

    html = unescape(staff.get(address(payload), {"record": "7"}).content.decode())

    assert marked(html).startswith(expected)
    assert "was not found" not in html


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_preview_shows_the_part_around_a_record_beyond_the_beginning(staff: Client, kind: str) -> None:
    ids = range(100_000)
    body = json.dumps([{"id": number} for number in ids]).encode()
    if kind == "csv":
        body = "\n".join(["id,name", *(f"{number},x" for number in ids)]).encode()
    payload = make_payload(body=body, name=f"a.{kind}", content_type="")

    html = unescape(staff.get(address(payload), {"record": "77777"}).content.decode())

    assert "This is the part around the record, from byte " in html
    if kind == "csv":
        assert '<th scope="col">name</th>' in html
        assert '<tr class="preview-record" id="record"><td>77777</td>' in html
    else:
        assert marked(html).split() == ["{", '"id":', "77777", "},"]


@pytest.mark.django_db
def test_preview_finds_a_key_with_control_characters(staff: Client) -> None:
    payload = make_payload(body=rb'[{"id": "a"}, {"id": "a\u0000b\tc\n"}]')

    html = unescape(staff.get(address(payload), {"record": "a␀b␉c␊"}).content.decode())

    assert marked(html) == '  {\n    "id": "a\\u0000b\\tc\\n"\n  }'


@pytest.mark.django_db
def test_preview_says_that_a_record_was_not_found(staff: Client) -> None:
    payload = make_payload(body=b'[{"id": 70}, {"n": -7}, {"x": "7-1"}]')

    html = staff.get(address(payload), {"record": "7"}).content.decode()

    assert "The record 7 was not found here." in html
    assert 'id="record"' not in html
