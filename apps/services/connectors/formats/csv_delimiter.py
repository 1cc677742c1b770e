"""Delimiter of a CSV file, as its first lines show it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from apps.services.connectors.base import ConnectorError

# In the order of preference; the names are for error messages.
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
# A number with a decimal comma.
_DECIMAL = re.compile(r"[+-]?[\d.]*\d,\d+")


def named_delimiter(line: str) -> str:
    """The delimiter of a line such as `sep=;`, which Excel understands; empty if it is another line."""
    line = line.rstrip("\r\n")
    return line[4:] if len(line) == 5 and line.lower().startswith("sep=") else ""


def detected_delimiter(sample: list[str], delimiter: str, names: Sequence[str], place: str) -> str:
    """The delimiter of the rows in `sample`. Raises ConnectorError if it is ambiguous or if another one is used."""
    rows_by_delimiter = {one: parsed_rows(sample, one) for one in DELIMITERS}
    columns = {one: len(rows[0]) for one, rows in rows_by_delimiter.items() if rows and len(rows[0]) > 1}
    if delimiter != "auto":
        rows = parsed_rows(sample, delimiter)
        if not names and rows and len(rows[0]) == 1:
            refuse_other([*columns, *_consistent(rows_by_delimiter)], delimiter, place)
        return delimiter
    if len(names) == 1:
        return ","
    if not columns:
        others = [one for one, rows in rows_by_delimiter.items() if any(len(row) > 1 for row in rows)]
        refuse_other(others, "", place)
        return ","

    def fitness(one: str) -> tuple[bool, bool, int]:
        is_regular = all(len(row) == columns[one] for row in rows_by_delimiter[one])
        return columns[one] == len(names), is_regular, columns[one]

    best = max(map(fitness, columns))
    found = [one for one in columns if fitness(one) == best]
    if (
        len(found) > 1
        and "," in found
        and all(map(_is_decimal, _cells_with_comma(rows_by_delimiter[found[1]])))
    ):
        # Every comma is that of a number, as in 19,90.
        found.remove(",")
    if len(found) > 1:
        options = " or ".join(DELIMITERS[one] for one in found)
        raise invalid_csv(place, f"the delimiter may be {options}. Set “delimiter” of csv")
    return found[0]


def _cells_with_comma(rows: list[list[str]]) -> Iterator[str]:
    return (cell for row in rows for cell in row if "," in cell)


def _is_decimal(cell: str) -> bool:
    return _DECIMAL.fullmatch(cell.strip()) is not None


def _consistent(rows_by_delimiter: dict[str, list[list[str]]]) -> list[str]:
    """Delimiters that split each row after the header into the same number of columns."""
    counts = {one: {len(row) for row in rows[1:]} for one, rows in rows_by_delimiter.items()}
    return [one for one, sizes in counts.items() if len(sizes) == 1 and max(sizes) > 1]


def refuse_other(others: list[str], delimiter: str, place: str) -> None:
    if wrong := [one for one in others if one != delimiter]:
        raise invalid_csv(
            place,
            f"the header is one column, but the file contains another delimiter, {DELIMITERS[wrong[0]]}. Set "
            "“delimiter” of csv, or “skip_rows” if the header is further down",
        )


def parsed_rows(sample: list[str], delimiter: str) -> list[list[str]]:
    """The rows up to one that is invalid, or incomplete in the sample."""
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(row for row in csv.reader(sample, delimiter=delimiter, strict=True) if row)
    return rows


def invalid_csv(place: str, reason: str) -> ConnectorError:
    return ConnectorError(f"{place} is invalid CSV: {reason}.")
