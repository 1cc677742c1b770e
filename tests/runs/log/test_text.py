"""Cleaning of messages and masking of secrets."""

import base64
import json
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.runs.log.text import MASK, MAX_BYTES, clean_message, make_masker


@pytest.mark.parametrize(
    ("given_message", "stored"),
    [
        ("plain", "plain"),
        ("tab\tand\nline feed stay", "tab\tand\nline feed stay"),
        ("Windows\r\nline", "Windows\nline"),
        ("NUL \x00 here", "NUL ␀ here"),
        ("bell \x07 escape \x1b[2J", "bell ␇ escape ␛[2J"),
        ("colour \x1b[31mred\x1b[0m stays", "colour \x1b[31mred\x1b[0m stays"),
        ("delete \x7f", "delete ␡"),
        ("C1 \x85", "C1 ␛E"),
        (b"bad \xff byte".decode(errors="surrogateescape"), "bad \\xff byte"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("Grüße, 世界 👋", "Grüße, 世界 👋"),
    ],
)
def test_clean_replaces_only_control_characters(given_message, stored):
    assert clean_message(given_message) == stored


def test_clean_truncates_long_line_and_reports_the_size():
    message = "x" * (10 * 1024 * 1024)

    stored = clean_message(message)

    assert stored == "x" * MAX_BYTES + f" … [{10 * 1024 * 1024 - MAX_BYTES:,} bytes cut]"


def test_clean_does_not_split_a_character():
    stored = clean_message("x" + "é" * MAX_BYTES)

    assert stored.startswith("x" + "é" * (MAX_BYTES // 2 - 1) + " … [")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_clean_returns_text_valid_for_databases(message):
    stored = clean_message(message)

    assert "\x00" not in stored
    stored.encode()


def test_masker_is_none_without_secrets():
    assert make_masker([]) is None
    assert make_masker(["", "abc"]) is None


@given(
    secret=st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=8, max_size=60),
    before=st.binary(max_size=7),
    after=st.binary(max_size=7),
)
def test_masker_hides_every_encoding_of_a_secret(secret, before, after):
    mask = make_masker([secret])
    data = before + secret.encode() + after
    forms = [
        secret,
        quote(secret, safe=""),
        re.sub("%..", lambda match: match.group().lower(), quote(secret, safe="")),
        quote(json.dumps(secret)[1:-1], safe=""),
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps({"key": secret}, ensure_ascii=False)[9:-2],
    ]

    assert mask is not None
    for form in forms:
        assert mask(f"a {form} b") == f"a {MASK} b"
    for encoded in (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()):
        assert MASK in mask(encoded)


def test_masker_hides_longer_of_two_secrets_completely():
    mask = make_masker(["secret", "secret-and-more"])

    assert mask is not None
    assert mask("it is secret-and-more") == f"it is {MASK}"
