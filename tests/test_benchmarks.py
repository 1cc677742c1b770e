"""The benchmark suite has the promised figures. Their values are not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIGURES = {
    "csv_pull_memory_mib",
    "csv_pull_records_per_s",
    "download_file_mb_per_s",
    "download_memory_mib",
    "download_s3_mb_per_s",
    "expiry_objects_per_s",
    "home_500_services_ms",
    "http_pull_records_per_s",
    "idle_poll_per_s",
    "ingest_http_lines_per_s",
    "jump_in_1m_lines_ms",
    "log_call_us",
    "log_end_to_end_lines_per_s",
    "log_page_1m_ms",
    "cost_of_fdatasync_us",
    "cost_of_foreign_key_us",
    "cost_of_masking_us",
    "cost_of_seal_us",
    "cost_of_spool_us",
    "many_runs_late_s",
    "many_runs_memory_mib",
    "record_bytes",
    "record_cost_us",
    "record_pipeline_us",
    "record_retention_rows_per_s",
    "record_search_ms",
    "retention_rows_per_s",
    "retention_shipper_delay_s",
    "retention_transaction_s",
    "services_list_500_ms",
    "shipper_lines_per_s",
    "summary_10m_runs_ms",
    "summary_busiest_service_ms",
    "summary_page_kb",
    "viewers_1000_p99_s",
    "visible_delay_p99_s",
    "xlsx_pull_s",
}


def test_suite_has_the_promised_figures() -> None:
    known = json.loads(run_module("tests.benchmarks.one").stdout)

    assert {figure for one in known.values() for figure in one["figures"]} == FIGURES
    for name, one in known.items():
        assert one["databases"], name
        assert set(one["databases"]) <= {"postgresql", "sqlite"}, name


def test_error_of_an_unknown_figure_lists_the_known_ones() -> None:
    process = run_module("tests.benchmarks", "wrong")

    assert process.returncode == 2
    assert process.stdout == ""
    assert (
        process.stderr.splitlines()[-1] == f"Unknown figure 'wrong'; use one of {', '.join(sorted(FIGURES))}"
    )


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
