"""State of a run in the title and the icon of the browser tab."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from apps.runs.models import Run

# The sign of each status, because a title cannot contain icons or colours.
_SIGNS = {
    Run.Status.QUEUED: "○",
    Run.Status.RUNNING: "●",
    Run.Status.SUCCEEDED: "✓",
    Run.Status.FAILED: "✕",
    Run.Status.CANCELLED: "⊘",
    Run.Status.LOST: "✕",
}
_ICONS = {
    Run.Status.QUEUED: "running",
    Run.Status.RUNNING: "running",
    Run.Status.FAILED: "failed",
    Run.Status.LOST: "failed",
}


@dataclass(frozen=True)
class TabState:
    """Begin of the title, such as "● Running", and the icon: "running", "failed" or "usual"."""

    label: str
    icon: str

    @classmethod
    def of(cls, status: str) -> TabState:
        known = Run.Status(status)
        return cls(f"{_SIGNS[known]} {known.label}", _ICONS.get(known, "usual"))

    @classmethod
    def of_runs(cls, runs: Collection[Run]) -> TabState | None:
        """Of the latest run that is open; otherwise of the latest. None without runs."""
        candidates = [run for run in runs if run.is_open] or runs
        return cls.of(max(candidates, key=lambda run: run.pk).status) if candidates else None

    @property
    def is_notable(self) -> bool:
        """Whether it is that of a run in progress, or of one that failed."""
        return self.icon != "usual"

    def as_json(self) -> dict[str, str]:
        return asdict(self)
