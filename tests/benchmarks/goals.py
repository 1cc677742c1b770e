"""Goals of the figures, and the table that shows which are met."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """Limits of the value of a figure and of its ratio to the reference."""

    max_value: float | None = None
    min_value: float | None = None
    max_ratio: float | None = None
    min_ratio: float | None = None

    def is_met_by(self, figure: dict[str, Any]) -> bool:
        value, ratio = figure["value"], figure["ratio"]
        return (
            (self.max_value is None or value <= self.max_value)
            and (self.min_value is None or value >= self.min_value)
            and (self.max_ratio is None or ratio <= self.max_ratio)
            and (self.min_ratio is None or ratio >= self.min_ratio)
        )

    def __str__(self) -> str:
        limits = (
            (self.max_value, "≤ {:,g}"),
            (self.min_value, "≥ {:,g}"),
            (self.max_ratio, "≤ {:g} ×"),
            (self.min_ratio, "≥ {:g} ×"),
        )
        return ", ".join(text.format(limit) for limit, text in limits if limit is not None)


# By name, or by name and database.
GOALS = {
    "log_call_us": Goal(max_value=5),
    "log_end_to_end_lines_per_s postgresql": Goal(min_value=50_000, min_ratio=0.5),
    "shipper_lines_per_s postgresql": Goal(min_ratio=0.85),
    "shipper_lines_per_s sqlite": Goal(min_ratio=0.5),
    "visible_delay_p99_s": Goal(max_value=1),
    "run_cpu_by_workers_ms": Goal(max_ratio=1.1),
    "run_cpu_by_two_workers_ms": Goal(max_ratio=1.1),
    "many_runs_late_s": Goal(max_value=1.5),
    "many_runs_memory_mib": Goal(max_value=2),
    "retention_rows_per_s": Goal(min_ratio=0.8),
    "retention_transaction_s": Goal(max_value=1),
    "retention_shipper_delay_s": Goal(max_value=0.2),
    "idle_poll_per_s": Goal(min_ratio=0.6),
    "viewers_1000_p99_s": Goal(max_value=0.25),
    "log_page_1m_ms": Goal(max_ratio=1.2),
    "jump_in_1m_lines_ms": Goal(max_value=150),
    "services_list_500_ms": Goal(max_value=30),
    "home_500_services_ms": Goal(max_value=60),
    "summary_10m_runs_ms": Goal(max_value=60),
    "summary_busiest_service_ms": Goal(max_value=40),
    "summary_page_kb": Goal(max_value=40),
    "workbench_page_ms": Goal(max_value=60),
    "workbench_page_kb": Goal(max_value=200),
    "preview_ms": Goal(max_value=150),
    "download_file_mb_per_s": Goal(min_ratio=0.9),
    "download_s3_mb_per_s": Goal(min_ratio=0.95),
    "download_memory_mib": Goal(max_value=20),
    "expiry_objects_per_s": Goal(min_ratio=0.85),
    "ingest_http_lines_per_s": Goal(min_value=20_000),
    "http_pull_records_per_s": Goal(min_ratio=0.5),
    "http_pull_memory_mib": Goal(max_value=50),
    "record_cost_us": Goal(max_ratio=1.25),
    "problem_extra_us": Goal(max_value=15),
    "record_pipeline_us": Goal(max_value=4),
    "record_bytes postgresql": Goal(max_value=120),
    "record_search_ms": Goal(max_value=20),
    "records_page_ms": Goal(max_value=60),
    "search_page_ms": Goal(max_value=60),
    "record_csv_rows_per_s": Goal(min_value=100_000),
    "record_csv_memory_mib": Goal(max_value=20),
    "record_retention_rows_per_s": Goal(min_ratio=0.8),
    "csv_pull_records_per_s": Goal(min_ratio=0.5),
    "csv_pull_memory_mib": Goal(max_value=50),
    "xlsx_pull_s": Goal(max_ratio=2),
    "help_s": Goal(max_value=0.6),
    "demo_memory_mib": Goal(max_value=350),
}

_HEAD = ("figure", "database", "value", "unit", "reference", "ratio", "goal", "")


def table(figures: Iterable[dict[str, Any]], failures: Iterable[tuple[str, str]]) -> str:
    """All figures as lines of text; `failures` are pairs (name, database) that could not be measured."""
    rows = [_HEAD, *map(_row, figures)]
    rows += [(name, database, "", "", "", "", "", "NOT MEASURED") for name, database in failures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(
            # Numbers are right-aligned.
            text.rjust(width) if column in (2, 4, 5) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _row(figure: dict[str, Any]) -> tuple[str, ...]:
    name, database = figure["name"], figure["database"]
    goal = GOALS.get(f"{name} {database}") or GOALS.get(name)
    verdict = "" if goal is None else "met" if goal.is_met_by(figure) else "MISSED"
    numbers = [
        "" if figure[key] is None else f"{figure[key]:,.4g}".replace("e+06", "M")
        for key in ("value", "reference", "ratio")
    ]
    value, reference, ratio = numbers
    return (name, database, value, figure["unit"], reference, ratio, str(goal or ""), verdict)
