"""Processes that are started together, watched, and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Seconds that a process is given to end by itself.
GRACE = 15
LAST_LINES = 12


class ProcessEndedError(Exception):
    """A process ended that was to go on; the message names it and shows the end of its log."""


@dataclass(frozen=True)
class _Child:
    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def signal_group(self, number: signal.Signals) -> None:
        """Reaches what the process started as well, also where it has ended itself."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


@dataclass
class Processes:
    """Runs commands with one environment; each writes to a log file of its own in `log_dir`."""

    log_dir: Path
    environment: Mapping[str, str]
    children: list[_Child] = field(default_factory=list)

    def start(self, name: str, *command: str) -> None:
        """In a session of its own, so that Ctrl-C reaches only the one who stops all of them in order."""
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
        """Raises ProcessEndedError if one of them has ended."""
        for child in self.children:
            if (code := child.process.poll()) is not None:
                lines = child.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
                how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
                raise ProcessEndedError(
                    "\n  ".join([f"The {child.name} ended {how}. The end of {child.log}:", *lines])
                )

    def stop(self, hurry: threading.Event) -> None:
        """Asks each to end, and kills those that have not within the grace, or when hurry is set."""
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
