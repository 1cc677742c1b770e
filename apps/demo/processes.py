"""Processes that are started, watched and stopped together."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# Time for a process to stop, in seconds.
GRACE = 15
LAST_LINES = 12


class ProcessEndedError(Exception):
    """A process ended unexpectedly; the message has its name and the end of its log."""


@dataclass(frozen=True)
class _Child:
    name: str
    log: Path
    process: BaseProcess

    def signal_group(self, number: signal.Signals) -> None:
        """Signals the process and what it started, even if the process itself has ended."""
        with suppress(ProcessLookupError):
            if pid := self.process.pid:
                os.killpg(pid, number)


@dataclass
class Processes:
    """Forks of this process, which share the memory of what it has loaded.

    Each writes its own log file in `log_dir`.
    """

    log_dir: Path
    children: list[_Child] = field(default_factory=list)

    def start(self, name: str, run: Callable[..., None], *arguments: Any) -> None:
        """In a new session, so that Ctrl-C reaches only the process that stops all others in order."""
        self.log_dir.mkdir(exist_ok=True)
        log = self.log_dir / f"{name}.log"
        process = multiprocessing.get_context("fork").Process(
            target=_run_detached, args=(log, run, *arguments), name=name
        )
        process.start()
        self.children.append(_Child(name, log, process))

    def check(self) -> None:
        """Raises ProcessEndedError if a process has ended."""
        for child in self.children:
            if (code := child.process.exitcode) is not None:
                lines = child.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
                how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
                raise ProcessEndedError(
                    "\n  ".join([f"The {child.name} ended {how}. The end of {child.log}:", *lines])
                )

    def stop(self, kill_at_once: threading.Event) -> None:
        """Terminates each process, and kills those that do not stop in time or if `kill_at_once` is set."""
        for child in reversed(self.children):
            if child.process.is_alive():
                child.process.terminate()
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and not kill_at_once.is_set():
            if not any(child.process.is_alive() for child in self.children):
                break
            time.sleep(0.05)
        for child in self.children:
            child.signal_group(signal.SIGKILL)
            # A process that has just started has no group yet.
            child.process.kill()
            child.process.join()


def run_module(module: str, *arguments: str) -> None:
    """Runs `python -m module argument …` in this process."""
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _run_detached(log: Path, run: Callable[..., None], *arguments: Any) -> None:
    """Calls the function without the terminal, the open files and the signal handlers of the parent."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    run(*arguments)
