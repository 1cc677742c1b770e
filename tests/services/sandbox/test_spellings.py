"""Numbers keep their spelling through a script that passes them on."""

import logging

import pytest

from apps.services.exact_json import Encoder, Parser
from apps.services.sandbox.limits import ScriptError
from apps.services.sandbox.process import Sandbox

UNCHANGED = "def transform(records):\n    return records\n"


def transform(source, text):
    """The JSON of the result."""
    with Sandbox(source) as sandbox:
        return Encoder().encode(sandbox.transform(Parser().parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "[1234567890.123456789, 19.90, 1E5, -0.0, -0, 0, 0.000, 123456789012345678901234567890]",
        "[19.9, 19.90, 19.900, 1990e-2]",
        "[1.0, 1.00, 1, 1e0, 0.0, 0e7, -0.0, -0.00, -0]",
        "[1234567890.123456789, 1234567890.1234567891]",
        "[1.7976931348623157e308, 1.79769313486231570e308, 5e-324, 1e-400, 0.0]",
    ],
)
def test_numbers_keep_their_spelling(text):
    assert transform(UNCHANGED, text) == text


def test_numbers_keep_their_spelling_in_other_places():
    source = """
def transform(records):
    records = sorted(records, key = lambda r: -r["id"])
    return [{"total": {"gross": r["gross"], "all": [r["gross"], r["net"]]}, "double": 2 * r["net"]}
            for r in records if r["gross"] > 1]
"""
    text = (
        '[{"id": 1, "gross": 1.0, "net": 0.5}, {"id": 2, "gross": 19.90, "net": 10.00}, '
        '{"id": 3, "gross": 19.9, "net": 10.000}]'
    )

    assert transform(source, text) == (
        '[{"total": {"gross": 19.9, "all": [19.9, 10.000]}, "double": 20.0}, '
        '{"total": {"gross": 19.90, "all": [19.90, 10.00]}, "double": 20.0}]'
    )


def test_second_call_logs_nothing(caplog):
    source = "def transform(records):\n    log('called')\n    return records\n"

    with caplog.at_level(logging.INFO, "apps.services.script"):
        transform(source, "[1.0, 1.00]")

    assert [record.getMessage() for record in caplog.records] == ["called"]


def test_unknown_spelling_is_a_warning(caplog):
    source = "def transform(records):\n    return [r for r in records if r == 1.0]\n"

    assert transform(source, "[2.5, 1.0, 1.00]") == "[1.0, 1.0]"
    assert caplog.messages == [
        "Some numbers have several spellings in the records, and it is unknown which of them the script returns; "
        "they get the first one: 1.0"
    ]


def test_number_beyond_a_float_is_an_error():
    with pytest.raises(ScriptError, match="cannot be handed to the script as JSON: 1e400 is too large"):
        transform(UNCHANGED, "[1e400]")
