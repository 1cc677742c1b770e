"""Script execution and error messages for script authors."""

import json
import logging
import time

import pytest

from apps.services.sandbox.limits import ScriptError
from apps.services.sandbox.process import Sandbox, check_script

INVALID = {
    "syntax error": (
        "def transform(records):\n    return records[\n",
        ("Parse error", " --> script:2:"),
    ),
    "unfinished": ("def transform(records):\n    if records:\n\n", ("Parse error", " --> script:2:16")),
    "no transform": ("x = 1\n", ("the script has no function transform",)),
    "transform is not a function": ("x = 1\ntransform = 3\n", ("not a function", " --> script:2:")),
    "no parameter": ("\ndef transform():\n    return []\n", ("must take one parameter", " --> script:2:")),
    "two parameters": ("def transform(a, b):\n    return a\n", ("must take one parameter", "`b`")),
    "unknown name": ("def transform(r):\n    return nope(r)\n", ("`nope` not found", " --> script:2:")),
    "import": ("import os\ndef transform(r):\n    return r\n", ("import", " --> script:1:")),
    "load": (
        'load("x", "y")\ndef transform(r):\n    return r\n',
        ("`load` is not allowed", " --> script:1:"),
    ),
    "top level fails": (
        "def f(x):\n    return x[3]\nf([])\ndef transform(r):\n    return r\n",
        ("script:2",),
    ),
}

FAILING = {
    "missing key": (
        "def first(r):\n    return sku(r)\ndef sku(r):\n    return r['sku']\n"
        "def transform(records):\n    return [first(r) for r in records]\n",
        ('Key `"sku"` was not found', " --> script:2:", "script:6, in transform"),
    ),
    "fail": (
        "def transform(records):\n    fail('no stock in', 3)\n",
        ("error: no stock in 3", " --> script:2:"),
    ),
    "division by zero": (
        "def transform(records):\n    return 1 // 0\n",
        ("division by zero", " --> script:2:"),
    ),
    "mixed types": ("def transform(records):\n    return sorted([1, 'a'])\n", ("`string` and `int`", ":2:")),
    "returns None": ("def transform(records):\n    pass\n", ("returned nothing", " --> script:1:")),
    "returns dict": ("\ndef transform(records):\n    return {}\n", ("type dict", " --> script:2:")),
    "returns text": ("def transform(records):\n    return 'a'\n", ("type string", " --> script:1:")),
    "returns function": ("def transform(records):\n    return [len]\n", ("type function cannot", ":1:")),
    "returns range": ("def transform(records):\n    return [range(3)]\n", ("type range cannot", ":1:")),
    "returns odd keys": (
        "def transform(records):\n    return [{(1, 2): 3}]\n",
        ("keys of a dict must be text", ":1:"),
    ),
    "returns itself": (
        "def transform(records):\n    x = []\n    x.append(x)\n    return x\n",
        ("contains itself", " --> script:1:"),
    ),
    "changes a constant": (
        "KEEP = []\ndef transform(r):\n    KEEP.append(1)\n",
        ("Immutable", " --> script:3:"),
    ),
}


def transform(source, records=(), **options):
    with Sandbox(source, **options) as sandbox:
        return sandbox.transform(list(records))


@pytest.fixture(scope="module")
def unchanged():
    """A sandbox whose script returns its records."""
    with Sandbox("def transform(records):\n    return records\n") as sandbox:
        yield sandbox


def test_transform_can_be_called_for_several_pages():
    source = "def transform(records):\n    return [{'sku': r['id'], 'qty': 2 * r['n']} for r in records]\n"

    with Sandbox(source) as sandbox:
        pages = [sandbox.transform([{"id": page, "n": page}]) for page in range(3)]

    assert pages == [[{"sku": page, "qty": 2 * page}] for page in range(3)]


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 2**31, 2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**40),
        *(0.1, 1.0, -0.0, 1e22, 5e-324, 1.7976931348623157e308, 12345.678),
        *(None, True, False, "", "äöü 😀 \u2028 \x00 \x7f", [], {}, [[]], {"": None}),
        {"a": [1, {"b": [None, 2.5, {"c": "d"}]}], "ä": {"😀": True}},
    ],
    ids=repr,
)
def test_values_are_returned_unchanged(unchanged, value):
    [returned] = unchanged.transform([value])

    assert (returned, type(returned).__name__) == (value, type(value).__name__)


@pytest.mark.parametrize("number", [1, 2**70])
def test_keys_keep_the_order_of_the_record(unchanged, number):
    record = {"z": number, "a": [{"y": {}, "b": []}, {"b": None, "y": 1}], "Ä": {"2": [], "10": [[]]}}

    [returned] = unchanged.transform([record])

    assert json.dumps(returned) == json.dumps(record)


def test_deeply_nested_values_are_returned_unchanged():
    value = []
    for _level in range(300):
        value = [value]

    assert transform("def transform(records):\n    return records\n", value) == value


def test_lone_surrogates_are_returned_unchanged():
    source = "def transform(records):\n    return [r + '!' for r in records if len(r) == 3]\n"

    assert transform(source, ["a\ud800b", "\udfff", "äöü"]) == ["a\ud800b!", "äöü!"]


def test_lone_surrogates_beside_the_characters_that_stand_for_them_are_an_error():
    with pytest.raises(ScriptError, match=r"private characters from U\+10F000"):
        transform("def transform(records):\n    return records\n", ["\ud800", "\U0010f000"])


def test_record_without_json_form_is_an_error():
    with pytest.raises(ScriptError, match="cannot be handed to the script"):
        transform("def transform(records):\n    return records\n", [float("nan")])


def test_tuples_and_structs_become_json():
    source = "def transform(records):\n    return [(1, 2), struct(a = 1), {1: 2}]\n"

    assert transform(source) == [[1, 2], {"a": 1}, {"1": 2}]


@pytest.mark.parametrize(("source", "messages"), INVALID.values(), ids=INVALID.keys())
def test_invalid_script_is_reported_by_check_and_run(source, messages):
    with pytest.raises(ScriptError) as checked:
        check_script(source)
    with pytest.raises(ScriptError) as ran:
        transform(source, [{"id": 1}])

    for message in messages:
        assert message in str(checked.value)
    assert str(ran.value) == str(checked.value)


@pytest.mark.parametrize(("source", "messages"), FAILING.values(), ids=FAILING.keys())
def test_script_error_shows_only_lines_of_the_script(source, messages):
    with pytest.raises(ScriptError) as error:
        transform(source, [{"id": 1}])

    for message in messages:
        assert message in str(error.value)
    for internal in ("synclog", ".py", ".rs", "builtin>", "/", "Error:"):
        assert internal not in str(error.value).replace("1 // 0", "")


def test_valid_script_passes_the_check_without_being_called():
    check_script("def transform(records):\n    fail('was called')\n")
    check_script("def transform(records, factor = 2):\n    return records\n")
    check_script("transform = lambda records: records\n")


def test_check_stops_a_loop_outside_functions():
    before = time.monotonic()

    with pytest.raises(ScriptError, match=r"ran for 1\.5 s") as error:
        check_script("for i in range(2000000000):\n    pass\ndef transform(r):\n    return r\n")

    assert " --> script:1:" in str(error.value)
    assert time.monotonic() - before < 10


def test_traceback_names_the_script():
    with pytest.raises(ScriptError, match=" --> orders-to-warehouse:2:"):
        transform("def transform(r):\n    return r[7]\n", name="orders-to-warehouse")


def test_sandbox_works_after_an_error():
    source = "def transform(records):\n    return [10 // r for r in records]\n"

    with Sandbox(source) as sandbox:
        with pytest.raises(ScriptError):
            sandbox.transform([0])
        assert sandbox.transform([5]) == [2]


def test_log_lines_arrive_in_order_with_their_levels(caplog):
    caplog.set_level(logging.DEBUG, logger="apps.services.script")
    source = """
log("at the start")
def transform(records):
    log("plain %s")
    log("debug", level = "debug")
    log("warning", "warning")
    log("error", level = "error")
    log({"a": [1, None]})
    print("a", 1, [True])
    return []
"""

    transform(source)

    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("apps.services.script", "INFO", "at the start"),
        ("apps.services.script", "INFO", "plain %s"),
        ("apps.services.script", "DEBUG", "debug"),
        ("apps.services.script", "WARNING", "warning"),
        ("apps.services.script", "ERROR", "error"),
        ("apps.services.script", "INFO", '{"a": [1, None]}'),
        ("apps.services.script", "INFO", "a 1 [True]"),
    ]


def test_log_lines_arrive_during_the_script(caplog):
    caplog.set_level(logging.INFO, logger="apps.services.script")
    source = """
def transform(records):
    log("begun")
    for i in range(1000000):
        for j in range(1000000):
            pass
    return []
"""
    seen = []

    def check():
        seen.append([record.getMessage() for record in caplog.records])
        raise KeyboardInterrupt

    with Sandbox(source) as sandbox, pytest.raises(KeyboardInterrupt):
        sandbox.transform([], check)

    assert seen == [["begun"]]


def test_check_logs_nothing(caplog):
    caplog.set_level(logging.DEBUG, logger="apps.services.script")

    check_script('log("hello")\ndef transform(records):\n    return records\n')

    assert caplog.records == []


def test_unknown_log_level_is_an_error():
    with pytest.raises(ScriptError, match="unknown level 'loud'") as error:
        transform("def transform(records):\n    log('a', level = 'loud')\n    return []\n")

    assert "script:2, in transform" in str(error.value)


def test_first_line_of_error_names_reason_and_line():
    script = "def transform(records):\n    return [rate(r) for r in records]\n\ndef rate(r):\n    return r['vat']\n"

    with pytest.raises(ScriptError) as caught:
        transform(script, [{"net": 1}])

    headline, traceback, *_wait = str(caught.value).split("\n")
    assert headline == 'The script failed in line 5: Key `"vat"` was not found'
    assert traceback == "Traceback (most recent call last):"
