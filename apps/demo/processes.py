"""Processes that are started, watched and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Time for a process to stop, in seconds.
GRACE = 15
LAST_LINES = 12


class ProcessEndedError(Exception):
    """A process ended unexpectedly; the message has its name and the end of its log."""


@dataclass(frozen=True)
class _Child:
    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def signal_group(self, number: signal.Signals) -> None:
        """Signals the process and what it started, even if the process itself has ended."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


@dataclass
class Processes:
    """Runs commands with one environment; each writes its own log file in `log_dir`."""

    log_dir: Path
    environment: Mapping[str, str]
    children: list[_Child] = field(default_factory=list)

    def start(self, name: str, *command: str) -> None:
        """In a new session, so that Ctrl-C reaches only the process that stops all others in order."""
        self.log_dir.mkdir(exist_ok=True)
        log = self.log_dir / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the commands are ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                start_new_session=True,
            )
        self.children.append(_Child(name, log, process))

    def check(self) -> None:
        """Raises ProcessEndedError if a process has ended."""
        for child in self.children:
            if (code := child.process.poll()) is not None:
                lines = child.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
                how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
                raise ProcessEndedError(
                    "\n  ".join([f"The {child.name} ended {how}. The end of {child.log}:", *lines])
                )

    def stop(self, hurry: threading.Event) -> None:
        """Terminates each process, and kills those that do not stop in time or if `hurry` is set."""
        for child in reversed(self.children):
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and not hurry.is_set():
            if all(child.process.poll() is not None for child in self.children):
                break
            time.sleep(0.05)
        for child in self.children:
            child.signal_group(signal.SIGKILL)
            child.process.wait()
