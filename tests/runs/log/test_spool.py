"""Spool file of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.runs.log.line_format import escape, parse_lines
from apps.runs.log.spool import Spool, spooled_runs


@pytest.fixture
def spool(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"
    spool = Spool(7)
    spool.open()
    yield spool
    spool.close()


def line(sequence, message="text"):
    return f"7\t{sequence}\t2026-11-23 07:15:09.123456+00\t20\t2\t{escape(message)}\n".encode()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00")))
def test_escaped_message_is_parsed_back_unchanged(message):
    [parsed] = parse_lines(line(1, message))

    assert parsed == (7, 1, "2026-11-23 07:15:09.123456", 20, 2, message)


def test_spool_returns_appended_lines(spool):
    spool.append(line(1))
    spool.append(line(2))

    assert spool.read(0) == line(1) + line(2)
    assert spool.read(len(line(1))) == line(2)
    assert spool.last_sequence() == 2
    assert spooled_runs() == [7]


def test_reopened_spool_removes_incomplete_line(spool):
    spool.append(line(1))
    spool.append(line(2)[:10])
    spool.close()

    spool.open()
    spool.append(line(2))

    assert spool.read(0) == line(1) + line(2)


def test_spool_does_not_return_incomplete_line(spool):
    spool.append(line(1))
    spool.append(line(2)[:10])

    assert spool.read(0) == line(1)


def test_spool_is_read_in_chunks(spool, monkeypatch):
    monkeypatch.setattr("apps.runs.log.spool.CHUNK_BYTES", 100)
    for sequence in range(1, 21):
        spool.append(line(sequence))

    assert b"".join(spool.chunks()) == b"".join(line(sequence) for sequence in range(1, 21))
    assert spool.last_sequence() == 20


def test_spool_is_readable_by_its_owner_only(spool):
    assert spool.path.stat().st_mode & 0o777 == 0o600
