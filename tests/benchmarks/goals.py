"""Goals of the figures, and the table that shows which are met."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """Limits of the value of a figure and of its ratio to the reference."""

    most: float | None = None
    least: float | None = None
    most_ratio: float | None = None
    least_ratio: float | None = None

    def is_met_by(self, figure: dict[str, Any]) -> bool:
        value, ratio = figure["value"], figure["ratio"]
        return (
            (self.most is None or value <= self.most)
            and (self.least is None or value >= self.least)
            and (self.most_ratio is None or ratio <= self.most_ratio)
            and (self.least_ratio is None or ratio >= self.least_ratio)
        )

    def __str__(self) -> str:
        limits = (
            (self.most, "≤ {:,g}"),
            (self.least, "≥ {:,g}"),
            (self.most_ratio, "≤ {:g} ×"),
            (self.least_ratio, "≥ {:g} ×"),
        )
        return ", ".join(text.format(limit) for limit, text in limits if limit is not None)


# By name, or by name and database.
GOALS = {
    "log_call_us": Goal(most=10, most_ratio=1.5),
    "log_end_to_end_lines_per_s postgresql": Goal(least=50_000, least_ratio=0.3),
    "shipper_lines_per_s postgresql": Goal(least_ratio=0.85),
    "shipper_lines_per_s sqlite": Goal(least_ratio=0.5),
    "visible_delay_p99_s": Goal(most=1),
    "many_runs_late_s": Goal(most=2),
    "many_runs_memory_mib": Goal(most=2),
    "retention_rows_per_s": Goal(least_ratio=0.8),
    "retention_transaction_s": Goal(most=1),
    "retention_shipper_delay_s": Goal(most=0.2),
    "idle_poll_per_s": Goal(least_ratio=0.6),
    "viewers_1000_p99_s": Goal(most=0.25),
    "log_page_1m_ms": Goal(most_ratio=1.2),
    "jump_in_1m_lines_ms": Goal(most=150),
    "services_list_500_ms": Goal(most=60),
    "home_500_services_ms": Goal(most=60),
    "summary_10m_runs_ms": Goal(most=60),
    "summary_busiest_service_ms": Goal(most=60),
    "summary_page_kb": Goal(most=40),
    "download_file_mb_per_s": Goal(least_ratio=0.9),
    "download_s3_mb_per_s": Goal(least_ratio=0.8),
    "download_memory_mib": Goal(most=20),
    "expiry_objects_per_s": Goal(least_ratio=0.85),
    "ingest_http_lines_per_s": Goal(least=20_000),
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
