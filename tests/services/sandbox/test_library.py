"""Library functions that scripts can use in addition to Starlark's builtins."""

import pytest

from apps.services.sandbox.guide import SCRIPT_HELP
from apps.services.sandbox.library import LIBRARY
from apps.services.sandbox.limits import ScriptError
from apps.services.sandbox.process import Sandbox
from tests.documents import ROOT

CALLS = [
    ('dates.parse("31.01.2026", "%d.%m.%Y")', "2026-01-31"),
    ('dates.parse("31.01.2026 09:05", "%d.%m.%Y %H:%M")', "2026-01-31T09:05:00"),
    ('dates.parse("20260131T090500+0100", "%Y%m%dT%H%M%S%z")', "2026-01-31T09:05:00+01:00"),
    ('dates.format("2026-01-31", "%d.%m.%Y")', "31.01.2026"),
    ('dates.format("2026-01-31T09:05:00Z", "%H:%M")', "09:05"),
    ('dates.add("2026-01-31", days = 1)', "2026-02-01"),
    ('dates.add("2026-12-31T23:30:00Z", hours = 1, minutes = -15)', "2027-01-01T00:15:00Z"),
    ('dates.utc("2026-01-31T00:30:00+01:00")', "2026-01-30T23:30:00Z"),
    ('dates.utc("2026-01-31")', "2026-01-31T00:00:00Z"),
    ('dates.seconds_between("2026-01-31", "2026-02-01T00:00:01.5")', 86401.5),
    ('dates.to_epoch("1970-01-02T00:00:00Z")', 86400.0),
    ("dates.from_epoch(86400.5)", "1970-01-02T00:00:00.500000Z"),
    ('regex.find("(a)(x)?", "bab")', ["a", "a", None]),
    ('regex.find("x", "bab")', None),
    ('regex.find_all("a(.)", "abac")', [["ab", "b"], ["ac", "c"]]),
    ('regex.matches("[0-9]+", "123")', True),
    ('regex.matches("[0-9]+", "123a")', False),
    ('regex.replace("a(.)", "[\\\\1]", "abac")', "[b][c]"),
    ('regex.split(", *", "a, b,c")', ["a", "b", "c"]),
    ('hashing.sha256("a")', "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    ('hashing.md5("a")', "0cc175b9c0f1b6a831c399e269772661"),
    ('base64.encode("ä")', "w6Q="),
    ('base64.decode("w6Q=")', "ä"),
    ('json.decode(json.encode({"a": [1, 2.5, None]}))', {"a": [1, 2.5, None]}),
]

WRONG_CALLS = [
    ('dates.parse("2026", "%d.%m.%Y")', "does not match format"),
    ('dates.add("yesterday", days = 1)', "'yesterday' is not an ISO 8601 date"),
    ("dates.add(3, days = 1)", "3 is not a date; write it as text"),
    ('dates.add("2026-01-31", hours = 1)', "has no time to add"),
    ('dates.add("9999-12-31", days = 1)', "out of range"),
    ('regex.find("(", "a")', "unterminated subpattern"),
    ('regex.find("a")', "missing 1 required positional argument: 'text'"),
    ("hashing.sha256(3)", "3 is not text"),
    ('base64.decode("?")', "Only base64 data is allowed"),
    ('base64.decode("/w==")', "can't decode byte"),
    ('json.decode("[1,")', "EOF while parsing"),
]


def test_library_functions_return_values():
    expressions, values = zip(*CALLS, strict=True)

    with Sandbox(f"def transform(records):\n    return [{', '.join(expressions)}]\n") as sandbox:
        returned = sandbox.transform([])

    assert dict(zip(expressions, returned, strict=True)) == dict(zip(expressions, values, strict=True))


@pytest.mark.parametrize(("expression", "message"), WRONG_CALLS)
def test_library_error_names_problem_and_line(expression, message):
    source = f"def transform(records):\n    return [{expression}]\n"
    with Sandbox(source) as sandbox, pytest.raises(ScriptError) as error:
        sandbox.transform([])

    assert message in str(error.value)
    assert "script:2, in transform" in str(error.value)
    assert "Error:" not in str(error.value)


def test_script_can_redefine_library_names():
    source = "dates = 1\ndef log(x):\n    return x\ndef transform(records):\n    return [dates, log(2)]\n"

    with Sandbox(source) as sandbox:
        assert sandbox.transform([]) == [1, 2]


@pytest.mark.parametrize(
    "text",
    [str(SCRIPT_HELP), (ROOT / "apps/services/handbook/scripts.md").read_text()],
    ids=["form", "handbook"],
)
def test_help_names_every_function(text: str) -> None:
    names = [f"{module}.{name}" for module, functions in LIBRARY.items() for name in functions]

    assert [name for name in names if f"{name}(" not in text] == []
