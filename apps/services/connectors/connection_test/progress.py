"""Steps of a test and their outcome."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class StepName(TextChoices):
    SETTINGS = "settings", _("Settings")  # Secrets and certificates are available.
    RESOLVE = "resolve", _("Resolve host")
    CONNECT = "connect", _("Connect")
    PROXY = "proxy", _("Proxy")  # The proxy connects to the other system.
    TLS = "tls", "TLS"
    HOST_KEY = "host_key", _("Host key")
    TOKEN = "token", _("Access token")
    AUTHENTICATE = "authenticate", _("Authenticate")
    REQUEST = "request", _("Request")  # Without authentication.
    ALLOWED = "allowed", _("Allowed folder")
    FOLDER = "folder", _("Open folder")
    READ = "read", _("Read")
    WRITE = "write", _("Write")


class StepState(TextChoices):
    OK = "ok", _("OK")
    WARNING = "warning", _("Warning")  # Does not prevent a run.
    FAILED = "failed", _("Failed")
    NOT_REACHED = "not_reached", _("Not reached")


@dataclass
class ConnectionStep:
    """One step; its time in milliseconds, None if it was not reached."""

    name: StepName
    state: StepState = StepState.NOT_REACHED
    milliseconds: float | None = None
    # What was found, or the error.
    detail: str = ""
    # What to do about the error.
    advice: str = ""


class ConnectionTest:
    """The steps of one test, in their order."""

    def __init__(self) -> None:
        self.steps = [ConnectionStep(StepName.SETTINGS)]
        self.is_cancelled = False
        self._position = 0
        self._started_at = time.monotonic()

    @property
    def current(self) -> ConnectionStep:
        return self.steps[self._position]

    @property
    def failed_step(self) -> ConnectionStep | None:
        return next((step for step in self.steps if step.state == StepState.FAILED), None)

    @property
    def is_complete(self) -> bool:
        return all(step.state in (StepState.OK, StepState.WARNING) for step in self.steps)

    @property
    def milliseconds(self) -> float:
        return sum(step.milliseconds or 0 for step in self.steps)

    def plan(self, *names: StepName) -> None:
        """Adds the steps that follow."""
        self.steps += [ConnectionStep(name) for name in names]

    def discard(self) -> None:
        """Removes the current step, which has succeeded but says nothing of interest."""
        del self.steps[self._position]
        self._started_at = time.monotonic()

    def complete(self, detail: str = "") -> None:
        """Marks the current step as succeeded and begins the next one."""
        self._end(StepState.OK, detail)
        self._position = min(self._position + 1, len(self.steps) - 1)
        self._started_at = time.monotonic()

    def end_with_warning(self, detail: str, advice: str) -> None:
        """Marks the current step with a warning: a run will pass it, but the steps after it cannot be tested now."""
        self._end(StepState.WARNING, detail)
        self.current.advice = advice
        del self.steps[self._position + 1 :]

    def fail(self, message: str, advice: str = "") -> None:
        """Marks the current step as failed; those after it are not reached."""
        self._end(StepState.FAILED, message)
        self.current.advice = advice

    def _end(self, state: StepState, detail: str) -> None:
        self.current.state = state
        self.current.milliseconds = (time.monotonic() - self._started_at) * 1000
        self.current.detail = detail
