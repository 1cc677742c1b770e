"""Excel files: types of cells, sheets, headers, and files that cannot or must not be read."""

import logging
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.services.connectors.base import ConnectorError
from tests.services.transfers import connection_to, pull
from tests.workbooks import DATE, DATE_TIME, DURATION, TIME, row, workbook

MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    settings.FILE_ROOTS = [tmp_path]
    return tmp_path


def read(root: Path, content: bytes, **options):
    (root / "a.xlsx").write_bytes(content)
    pages = pull(connection_to(f"file://{root}"), {"path": "*.xlsx", **options})
    return [record for page in pages for record in page.records]


def test_xlsx_cells_keep_their_types(root):
    content = workbook(
        {"Orders": [row(1, "id", "name", "ok", "empty"), row(2, 1, "Käse", True), row(3, 1.99, "0012")]}
    )

    assert read(root, content) == [
        {"id": 1, "name": "Käse", "ok": True, "empty": None},
        {"id": 1.99, "name": "0012", "ok": None, "empty": None},
    ]


def test_xlsx_dates_are_iso_8601(root):
    content = workbook(
        {
            "Orders": [
                row(1, "date", "at", "lasted", "time"),
                row(2, (DATE, 45000), (DATE_TIME, 45000.5), (DURATION, 1.5), (TIME, 0.75)),
            ]
        }
    )

    assert read(root, content) == [
        {"date": "2023-03-15", "at": "2023-03-15T12:00:00", "lasted": "PT36H", "time": "18:00:00"}
    ]


def test_xlsx_sheet_and_header_row(root):
    content = workbook({"Info": [row(1, "x")], "Orders": [row(2, "Orders of May"), row(4, "id"), row(6, 1)]})

    assert read(root, content, sheet="Orders", header_row=4) == [{"id": 1}]
    assert read(root, content) == []
    with pytest.raises(ConnectorError, match=r"a.xlsx has no sheet “orders”; it has Info, Orders"):
        read(root, content, sheet="orders")


def test_xlsx_formulas_have_their_values(root):
    cell = '<c r="B2"><f>A2*2</f><v>6</v></c><c r="C2" t="str"><f>""</f><v></v></c>'
    content = workbook({"Orders": [row(1, "a", "b", "c"), row(2, 3).replace("</row>", cell + "</row>")]})

    assert read(root, content) == [{"a": 3, "b": 6, "c": None}]


@pytest.mark.parametrize("value", ["", "<v></v>", "<v/>"])
def test_xlsx_formula_without_a_value_is_reported(root, value):
    content = workbook({"Orders": [row(1, "a"), f'<row r="2"><c r="A2"><f>1+1</f>{value}</c></row>']})

    with pytest.raises(ConnectorError, match="cell A2 has a formula without a value"):
        read(root, content)


def test_xlsx_error_in_a_cell_is_logged(root, caplog):
    content = workbook(
        {
            "Orders": [
                row(1, "a", "b"),
                '<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="e"><v>#N/A</v></c></row>',
            ]
        }
    )

    with caplog.at_level(logging.WARNING):
        assert read(root, content) == [{"a": 1, "b": None}]

    assert "a.xlsx: cell B2 contains an error; such cells are empty." in caplog.text


def test_xlsx_merged_cells_have_their_value_in_the_first(root):
    merged = '<mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells>'
    content = workbook({"Orders": [row(1, "a", "b"), row(2, "x", 1), row(3, None, 2)]}, merged)

    assert read(root, content) == [{"a": "x", "b": 1}, {"a": None, "b": 2}]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "has no header in row 1"),
        ([row(1, "a", None, "c")], "row 1: column B has no name"),
        ([row(1, "a", "a")], "row 1: the column “a” is repeated"),
        ([row(1, "a"), row(2, 1, 2)], "row 2 has a value in column B or beyond"),
    ],
)
def test_invalid_xlsx_sheet_is_reported(root, rows, reason):
    with pytest.raises(ConnectorError, match=rf"a\.xlsx, sheet Orders.*{reason}"):
        read(root, workbook({"Orders": rows}))


def test_xlsx_with_a_password_is_reported(root):
    head = bytes.fromhex("d0cf11e0a1b11ae1")

    with pytest.raises(ConnectorError, match=r"a.xlsx is protected by a password. Remove the password"):
        read(root, head + bytes(600) + "EncryptedPackage".encode("utf-16-le"))
    with pytest.raises(ConnectorError, match=r"a.xlsx is an old Excel file"):
        read(root, head + bytes(600))


@pytest.mark.parametrize("content", [b"", b"id;name\n", b"PK\x03\x04rubbish", workbook({"x": []})[:-30]])
def test_file_that_is_no_xlsx_is_reported(root, content):
    with pytest.raises(ConnectorError, match=r"a\.xlsx is not an Excel file \(xlsx\)"):
        read(root, content)


def test_archive_that_is_no_workbook_is_reported(root):
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", "id\n")

    with pytest.raises(ConnectorError, match=r"a\.xlsx is not an Excel file \(xlsx\)"):
        read(root, file.getvalue())


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        # The library would allocate 17 billion cells for these two.
        (
            [row(1, "a"), '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'],
            "1,048,576 rows and 16,384 columns",
        ),
        ([row(1, "a"), '<row r="2"><c r="XFD1048576"><v>1</v></c></row>'], "cells are outside of their rows"),
    ],
)
def test_xlsx_bomb_of_two_cells_is_refused(root, rows, reason):
    with pytest.raises(ConnectorError, match=reason):
        read(root, workbook({"Orders": rows}))


def test_xlsx_bomb_of_repeated_text_is_refused(root, settings):
    settings.MAX_RESPONSE_BYTES = MIB

    with pytest.raises(ConnectorError, match="uncompressed Excel file is larger than 1 MiB"):
        read(root, workbook({"Orders": [row(1, "x" * 16 * MIB)]}))


def test_xlsx_entities_are_refused(root):
    file = BytesIO(workbook({"Orders": []}))
    changed = BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(changed, "w") as target:
        for name in archive.namelist():
            text = archive.read(name).decode()
            if name == "xl/workbook.xml":
                text = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + text
            target.writestr(name, text)

    with pytest.raises(ConnectorError, match="XML entity"):
        read(root, changed.getvalue())
