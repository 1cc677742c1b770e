"""`make test`: the suite on PostgreSQL, and what depends on the database once more on SQLite.

    python -m tests [arguments of pytest]

Ends with the summary of both, and non-zero if either failed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

# What pytest says of a run that found nothing to do: with a selection, one of the two may.
NOTHING_COLLECTED = 5


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="synclog-reports-") as folder:
        reports = [Path(folder) / "postgresql.xml", Path(folder) / "sqlite.xml"]
        codes = [
            _pytest("--database=postgresql", f"--junit-xml={reports[0]}", *arguments),
            _pytest(
                *("--database=sqlite", "--only-with-database", f"--junit-xml={reports[1]}"),
                # Who may do what is asked of every route, and no database answers it otherwise.
                "--ignore=tests/test_credentials_matrix.py",
                *arguments,
            ),
        ]
        counts = sum((_counted(report) for report in reports), Counter[str]())
    print(_summary(counts, time.monotonic() - began), flush=True)
    ran = [code for code in codes if code != NOTHING_COLLECTED]
    return max(ran) if ran else NOTHING_COLLECTED


def _pytest(*arguments: str) -> int:
    # One more than there are processors: many tests wait for processes that they started.
    workers = min(os.cpu_count() or 2, 4) + 1
    return subprocess.run(
        [sys.executable, "-m", "pytest", f"--numprocesses={workers}", "--dist=worksteal", *arguments],
        check=False,
    ).returncode


def _counted(report: Path) -> Counter[str]:
    """How many tests ended in which way, from pytest's report; empty where it did not come to write one."""
    if not report.exists():
        return Counter()
    counts = Counter[str]()
    # Written by pytest a moment ago, so it is no stranger's XML.
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
    """Both runs in one line, in pytest's own words."""
    parts = [f"{counts[name]} {name}" for name in ("failed", "passed", "skipped", "errors") if counts[name]]
    text = f" {', '.join(parts) or 'no tests ran'} in {seconds:.2f}s "
    return text.center(100, "=")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
