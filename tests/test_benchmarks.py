"""The benchmark suite has the promised figures. Their values are not tested."""

import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.harness import benchmarks

ROOT = Path(__file__).resolve().parents[1]
# The names that others rely on.
PROMISED = {
    "csv_pull_records_per_s",
    "download_file_mb_per_s",
    "download_memory_mib",
    "download_s3_mb_per_s",
    "expiry_objects_per_s",
    "http_pull_records_per_s",
    "idle_poll_per_s",
    "ingest_http_lines_per_s",
    "jump_in_1m_lines_ms",
    "log_call_us",
    "log_end_to_end_lines_per_s",
    "log_page_1m_ms",
    "problem_cost_us",
    "record_cost_us",
    "record_search_ms",
    "retention_rows_per_s",
    "services_list_500_ms",
    "shipper_lines_per_s",
    "summary_10m_runs_ms",
    "summary_page_kb",
    "viewers_1000_p99_s",
    "visible_delay_p99_s",
}


def test_suite_has_the_promised_figures() -> None:
    known = benchmarks()

    assert {figure for one in known.values() for figure in one.units} >= PROMISED
    for name, one in known.items():
        assert one.databases, name
        assert set(one.databases) <= {"postgresql", "sqlite"}, name


def test_error_of_an_unknown_figure_lists_the_known_ones() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "wrong"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.startswith("Unknown figure 'wrong'; use one of ")
    assert set(process.stderr.strip().partition("use one of ")[2].split(", ")) >= PROMISED
