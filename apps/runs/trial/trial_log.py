"""Log of a trial: its lines in memory, masked as those of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from apps.runs.execution import supervision
from apps.runs.log.text import clean_message, make_masker
from apps.runs.models import Level, Step

MAX_LINES = 500


@dataclass(frozen=True)
class Line:
    """A line of the log."""

    level: Level
    step: Step
    message: str


class TrialLog(logging.Handler):
    """Stores the first lines, and counts the others."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self.step = Step.PULL
        self.lines: list[Line] = []
        self.omitted_count = 0
        # The thread that may still log is not waited for.
        self.is_abandoned = False
        self._secrets = set(secrets)
        self._mask = make_masker(self._secrets)

    def add_secret(self, secret: str) -> None:
        """Masks `secret` from now on."""
        self._secrets.add(secret)
        self._mask = make_masker(self._secrets)

    def cleaned(self, message: str) -> str:
        """The message with masked secrets and visible control characters."""
        return clean_message(message if self._mask is None else self._mask(message))

    def emit(self, record: logging.LogRecord) -> None:
        if self.is_abandoned or record.name == supervision.__name__:
            # Stacks of Synclog itself are for its operators.
            return
        if len(self.lines) >= MAX_LINES:
            self.omitted_count += 1
            return
        level = max((each for each in Level if each <= record.levelno), default=Level.DEBUG)
        self.lines.append(Line(level, self.step, self.cleaned(record.getMessage())))
