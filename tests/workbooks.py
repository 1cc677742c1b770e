"""Excel files of cells as they are stored."""

import zipfile
from collections.abc import Iterable
from io import BytesIO

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
# Styles of dates, dates with time, durations and times.
DATE, DATE_TIME, DURATION, TIME = 1, 2, 3, 4
_STYLES = (
    f'<styleSheet xmlns="{_MAIN}"><numFmts count="1"><numFmt numFmtId="164" formatCode="[h]:mm"/></numFmts>'
    '<cellXfs count="5"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/><xf numFmtId="164"/>'
    '<xf numFmtId="21"/></cellXfs></styleSheet>'
)


def workbook(sheets: dict[str, Iterable[str]], merged: str = "") -> bytes:
    """An xlsx file; each sheet has rows, which are made by `row`."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        archive.writestr("_rels/.rels", _relationships({"rId1": ("officeDocument", "xl/workbook.xml")}))
        parts = {f"rId{number}": f"worksheets/sheet{number}.xml" for number in range(1, len(sheets) + 1)}
        names = "".join(
            f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>'
            for number, name in enumerate(sheets, start=1)
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{names}</sheets></workbook>',
        )
        relationships = {key: ("worksheet", part) for key, part in parts.items()}
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            _relationships(relationships | {"rId999": ("styles", "styles.xml")}),
        )
        archive.writestr("xl/styles.xml", _STYLES)
        for part, rows in zip(parts.values(), sheets.values(), strict=True):
            archive.writestr(
                f"xl/{part}",
                f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(rows)}</sheetData>{merged}</worksheet>',
            )
    return file.getvalue()


def row(number: int, *cells: str | float | bool | tuple[int, float] | None) -> str:
    """The XML of a row; a cell is a text, a number, a boolean, a style and a number, or nothing."""
    xml = "".join(_cell(f"{chr(65 + place)}{number}", cell) for place, cell in enumerate(cells))
    return f'<row r="{number}">{xml}</row>'


def _cell(reference: str, cell: str | float | bool | tuple[int, float] | None) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return f'<c r="{reference}" t="b"><v>{int(cell)}</v></c>'
        case str():
            return f'<c r="{reference}" t="inlineStr"><is><t>{cell}</t></is></c>'
        case (style, number):
            return f'<c r="{reference}" s="{style}"><v>{number}</v></c>'
        case _:
            return f'<c r="{reference}"><v>{cell}</v></c>'


def _relationships(targets: dict[str, tuple[str, str]]) -> str:
    parts = "".join(
        f'<Relationship Id="{key}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for key, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{parts}</Relationships>'
