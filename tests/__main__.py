"""`make test`: the suite on PostgreSQL, and the tests of database code again on SQLite.

    python -m tests [arguments of pytest]

Prints a summary of both runs; the exit code is non-zero if either failed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

# Exit code of pytest if it collected no tests: with a selection, one of the two runs may have none.
NO_TESTS = 5
# The tests of a module share a worker, and so its servers and its browser; long modules come first.
DISTRIBUTION = ("--dist=loadfile", "--no-loadscope-reorder")


def main(arguments: list[str]) -> int:
    started = time.monotonic()
    processors = min(os.cpu_count() or 2, 4)
    with tempfile.TemporaryDirectory(prefix="synclog-reports-") as folder:
        reports = [Path(folder) / "postgresql.xml", Path(folder) / "sqlite.xml"]
        output = Path(folder) / "sqlite.txt"
        # Both runs copy the migrated SQLite database.
        os.environ["MIGRATED_DATABASES"] = folder
        # Both at once, with more workers than processors: many tests wait for processes that they started.
        with output.open("wb") as file:
            sqlite = _pytest(
                processors // 2,
                *("--database=sqlite", "--only-with-database", f"--junit-xml={reports[1]}"),
                *arguments,
                output=file,
            )
            postgresql = _pytest(
                processors + 3, "--database=postgresql", f"--junit-xml={reports[0]}", *arguments
            )
            codes = [postgresql.wait(), sqlite.wait()]
        print(output.read_text(errors="replace"))
        counts = sum((_counts(report) for report in reports), Counter[str]())
    print(_summary(counts, time.monotonic() - started), flush=True)
    ran = [code for code in codes if code != NO_TESTS]
    return max(ran) if ran else NO_TESTS


def _pytest(workers: int, *arguments: str, output: BinaryIO | None = None) -> subprocess.Popen[bytes]:
    # Without stored bytecode every worker would compile all modules again.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # Two runs at once would overwrite each other's coverage.
    environment["COVERAGE_FILE"] = ".coverage" if output is None else ".coverage-sqlite"
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", f"--numprocesses={workers}", *DISTRIBUTION, *arguments],
        env=environment,
        stdout=output,
        stderr=output and subprocess.STDOUT,
    )


def _counts(report: Path) -> Counter[str]:
    """Counts tests by outcome in pytest's report; empty if there is no report."""
    if not report.exists():
        return Counter()
    counts = Counter[str]()
    # Written by pytest itself, so the XML is trusted.
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314
        numbers = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
        counts["failed"] += numbers["failures"]
        counts["errors"] += numbers["errors"]
        counts["skipped"] += numbers["skipped"]
        counts["passed"] += numbers["tests"] - sum(
            numbers[name] for name in ("failures", "errors", "skipped")
        )
    return counts


def _summary(counts: Counter[str], seconds: float) -> str:
    """Formats the totals of both runs as pytest's summary line."""
    parts = [f"{counts[name]} {name}" for name in ("failed", "passed", "skipped", "errors") if counts[name]]
    text = f" {', '.join(parts) or 'no tests ran'} in {seconds:.2f}s "
    return text.center(100, "=")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
