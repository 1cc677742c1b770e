"""Records as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.console.ui.preview_text import make_preview
from apps.services.connectors.base import Record
from apps.services.connectors.formats.documents import encode_json

# What is shown, so that the browser stays fast.
MAX_RECORDS = 50
MAX_COLUMNS = 30
MAX_CELL_LENGTH = 200
MAX_TEXT_LENGTH = 1000
MAX_JSON_BYTES = 128 * 1024


@dataclass(frozen=True)
class RecordPreview:
    """The first records of a page."""

    count: int
    columns: list[str]
    # Key and cells of each record.
    rows: list[tuple[str, list[str]]]
    json: str
    is_json_cut: bool
    has_short_values: bool = False
    column_count: int = 0

    @property
    def is_cut(self) -> bool:
        return self.count > len(self.rows)

    @property
    def omitted_column_count(self) -> int:
        return max(0, self.column_count - len(self.columns))


def record_preview(records: Sequence[Record], keys: Sequence[str]) -> RecordPreview:
    """The first records with their keys; records other than objects have a single column."""
    shown = records[:MAX_RECORDS]
    names = list(dict.fromkeys(name for record in shown if isinstance(record, dict) for name in record))
    columns = names[:MAX_COLUMNS] or [""]
    shortener = _Shortener()
    data, is_cut = _first_bytes([shortener.shorten(record) for record in shown])
    return RecordPreview(
        count=len(records),
        columns=[_shown(column) for column in columns],
        rows=[
            (key, [_cell(record, column) for column in columns])
            for key, record in zip(keys, shown, strict=False)
        ],
        json=make_preview(data, content_type="application/json", name="", is_whole=not is_cut).text,
        is_json_cut=is_cut or len(shown) < len(records),
        has_short_values=shortener.has_shortened,
        column_count=len(names),
    )


class _Shortener:
    """Shortens long texts, so that one of them does not hide all records after it."""

    def __init__(self) -> None:
        self.has_shortened = False

    def shorten(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > MAX_TEXT_LENGTH:
            self.has_shortened = True
            return f"{value[:MAX_TEXT_LENGTH]}…"
        if isinstance(value, dict):
            return {key: self.shorten(member) for key, member in value.items()}
        return [self.shorten(member) for member in value] if isinstance(value, list) else value


def _first_bytes(records: Sequence[Record]) -> tuple[bytes, bool]:
    data = b"[" + b",".join(map(encode_json, records)) + b"]"
    return data[:MAX_JSON_BYTES], len(data) > MAX_JSON_BYTES


def _cell(record: Record, column: str) -> str:
    value: Any = record.get(column, "") if isinstance(record, dict) else record
    text = value if isinstance(value, str) else encode_json(value).decode(errors="replace")
    return _shown(text if len(text) <= MAX_CELL_LENGTH else f"{text[:MAX_CELL_LENGTH]}…")


def _shown(text: str) -> str:
    """`text` without halves of surrogate pairs, which cannot be sent to a browser."""
    return text.encode(errors="backslashreplace").decode()
