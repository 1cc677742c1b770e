"""JSON that keeps the digits and the spelling of numbers."""

import json

import pytest

from apps.services.definition.expression import Expression
from apps.services.exact_json import Encoder, ExactNumber, Parser, decode, to_bytes

NUMBERS = [
    *("1234567890.123456789", "19.90", "19.9", "1E5", "1e+05", "0.10e-2", "-0.0", "-0", "0", "-0.00"),
    *("18446744073709551617", "-123456789012345678901234567890", "1e400", "-1E-400", "9" * 5000),
]


@pytest.mark.parametrize("text", NUMBERS, ids=lambda text: text[:40])
def test_numbers_keep_their_spelling(text):
    document = f'[{text}, {{"a": [{text}]}}]'

    assert Encoder().encode(Parser().parse(document)) == document


def test_encoding_equals_that_of_the_standard_library():
    value = {"a": [1, -2.5, True, False, None, 'ä\n\x00\u2028 \\ " 😀', [], {}, (1, 2)], "ß\t": {"b": 10**30}}

    assert Encoder().encode(value) == json.dumps(value, ensure_ascii=False)
    assert (
        Encoder(sort_keys=True).encode({"b": {"d": 1, "c": 2}, "a": 3}) == '{"a": 3, "b": {"c": 2, "d": 1}}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, {1: 2}, b""])
def test_value_without_json_form_is_an_error(value):
    with pytest.raises((TypeError, ValueError)):
        Encoder().encode([value])


@pytest.mark.parametrize("text", ['"\\u0000"', '"\\ud800"', '["\\udfff\\udfff", {"\\ud83d": 1}]'])
def test_nul_and_lone_surrogates_are_unchanged(text):
    assert to_bytes(Encoder().encode(Parser().parse(text))).decode() == text


@pytest.mark.parametrize("text", ["", "NaN", "-Infinity", "01", "1.", "+1", "[1,]", "{} {}", "[" * 100_000])
def test_invalid_document_is_an_error(text):
    with pytest.raises(ValueError, match=r"line 1 column|is not JSON|nested too deeply"):
        Parser().parse(text)


def test_repeated_keys_are_collected_once():
    parser = Parser()

    document = parser.parse('[{"a": 1, "b": 2, "a": 3}, {"c": {"a": 4, "b": 5, "b": 6}}, {"d": 7}]')

    assert document == [{"a": 3, "b": 2}, {"c": {"a": 4, "b": 6}}, {"d": 7}]
    assert parser.take_repeated_keys() == ["a", "b"]
    assert parser.take_repeated_keys() == []


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("[?price > `19.5`].id", ["a"]),
        ("[?price == `19.9`].id", ["a"]),
        ("[].price | max(@)", 19.9),
        ("[].price | sum(@)", 29.15),
        ("[].type(price)", ["number", "number"]),
        ("sort_by(@, &price)[].id", ["b", "a"]),
        ("[0].abs(price)", 19.9),
    ],
)
def test_expressions_work_on_exact_numbers(expression, result):
    records = Parser().parse('[{"id": "a", "price": 19.90}, {"id": "b", "price": 9.25}]')

    assert Expression.compile(expression).search(records) == result


def test_exact_number_is_a_float_that_is_shown_as_written():
    number = ExactNumber("19.90")

    assert (number, f"{number}", str(number), repr(number)) == (19.9, "19.90", "19.90", "19.90")


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ('"Käse"'.encode(), "", '"Käse"'),
        ('"Käse"'.encode("latin-1"), "ISO-8859-1", '"Käse"'),
        ('"10 €"'.encode("cp1252"), "windows-1252", '"10 €"'),
        ('"Käse"'.encode("utf-8-sig"), "iso-8859-1", '"Käse"'),
        ('"Käse"'.encode("utf-16"), "", '"Käse"'),
        ('"Käse"'.encode("utf-16-be"), "utf-16", '"Käse"'),
        ('"Käse"'.encode("utf-32-le"), "utf-8", '"Käse"'),
        (b'"\xed\xa0\x80"', "utf-8", '"\ud800"'),
    ],
)
def test_document_is_decoded_by_byte_order_mark_or_charset(data, charset, text):
    assert decode(data, charset) == text


@pytest.mark.parametrize(
    ("data", "charset", "reason"),
    [
        (b'"\xff"', "", "byte 1 is not valid utf-8"),
        (b'"\x81"', "windows-1252", "byte 1 is not valid"),
        (b"[]", "klingon", "the charset “klingon” of its content type is unknown"),
        (b"[]", "hex", "the charset “hex” of its content type is unknown"),
    ],
)
def test_document_in_another_charset_is_an_error(data, charset, reason):
    with pytest.raises(ValueError, match=reason):
        decode(data, charset)
