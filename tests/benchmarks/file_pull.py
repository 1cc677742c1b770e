"""Pull of CSV and Excel files: speed and memory."""

import csv
import os
import sys
import time
from itertools import repeat
from pathlib import Path

from django.conf import settings
from python_calamine import CalamineWorkbook

from apps.services.connectors.base import RunContext
from apps.services.connectors.endpoints import open_source
from apps.services.models import Connection, Service
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.memory import peak_mib, resident_mib
from tests.workbooks import DATE, row, workbook

CSV_ROWS = 200_000
XLSX_ROWS = 100_000
ROUNDS = 5
GB = 10**9


@benchmark("csv_pull_records_per_s", "records/s", databases=["sqlite"], also={"csv_pull_memory_mib": "MiB"})
def csv_pull() -> dict[str, Figure]:
    """Records of a file with 200,000 rows, against csv.DictReader; growth of this process while it pulls 1 GB."""
    path = settings.DATA_DIR / "orders.csv"
    path.write_text("".join(_csv_rows(CSV_ROWS)))
    speed = compare(lambda: CSV_ROWS / _pull(path), lambda: CSV_ROWS / _read_csv(path), rounds=ROUNDS)
    block = "".join(_csv_rows(CSV_ROWS)[1:])
    with path.open("w") as file:
        file.write(_csv_rows(0)[0])
        file.writelines(repeat(block, GB // len(block) + 1))
    del block
    before = resident_mib(os.getpid())
    with peak_mib(os.getpid()) as peak:
        _pull(path)
    path.unlink()
    print(f"The process had {before:.1f} MiB before, and {peak[0]:.1f} MiB at most", file=sys.stderr)
    return {"csv_pull_records_per_s": speed, "csv_pull_memory_mib": Figure(max(peak[0] - before, 0))}


@benchmark("xlsx_pull_s", "s", databases=["sqlite"])
def xlsx_pull() -> Figure:
    """Seconds for a sheet of 100,000 rows and 8 columns, against the library that reads it."""
    path = settings.DATA_DIR / "orders.xlsx"
    path.write_bytes(workbook({"Orders": _xlsx_rows()}))
    return compare(lambda: _pull(path), lambda: _read_xlsx(path), rounds=ROUNDS)


def _pull(path: Path) -> float:
    """Seconds."""
    service = Service(
        slug="pull",
        source_connection=Connection(name="drop", kind="file", url=f"file://{path.parent}"),
        source_options={"path": path.name},
    )
    before = time.perf_counter()
    with open_source(service, RunContext(run_id=1, max_attempts=1)) as source:
        for _page in source.pages():
            pass
    return time.perf_counter() - before


def _read_csv(path: Path) -> float:
    before = time.perf_counter()
    with path.open(newline="") as file:
        for _record in csv.DictReader(file, delimiter=";"):
            pass
    return time.perf_counter() - before


def _read_xlsx(path: Path) -> float:
    before = time.perf_counter()
    CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    return time.perf_counter() - before


def _csv_rows(count: int) -> list[str]:
    """The header and `count` rows."""
    rows = [
        f'{number};SKU-{number:08d};"Wasserkocher 1,7 l, gebürstet";{number % 997},90;{number % 50};'
        "2026-01-05;Köln;ja\n"
        for number in range(count)
    ]
    return ["id;sku;name;price;quantity;date;city;is_active\n", *rows]


def _xlsx_rows() -> list[str]:
    rows = [
        row(
            number,
            number,
            f"SKU-{number:08d}",
            "Wasserkocher 1,7 l, gebürstet",
            number % 997 + 0.9,
            number % 50,
            (DATE, 45000 + number % 365),
            "Köln",
            True,
        )
        for number in range(2, XLSX_ROWS + 2)
    ]
    return [row(1, "id", "sku", "name", "price", "quantity", "date", "city", "is_active"), *rows]
