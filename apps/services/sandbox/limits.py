"""What a script may take, and how it is told that it took more."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024

# What the child process ends with when it had no more memory.
OUT_OF_MEMORY = 70


class ScriptError(Exception):
    """The script failed, or was stopped: its own traceback, or the reason in plain words."""


@dataclass(frozen=True)
class Limits:
    """What one call of a script may take; what it defines outside of functions counts as a call."""

    # Seconds on the clock, of which so many on the processor.
    wall_seconds: float = 60
    cpu_seconds: float = 60
    # Bytes beyond what the interpreter itself takes; one step may leap to thrice as many.
    memory_bytes: int = 512 * MIB
    # Bytes of log(), each line counted with 64 more.
    log_bytes: int = 1 * MIB
    # Bytes of the records that `transform` returns, as JSON.
    result_bytes: int = 8 * MIB
    # Functions that are inside of each other at one time.
    call_depth: int = 200


def too_large(size: int, limits: Limits) -> str:
    """What is said of `size` bytes of result."""
    return f"transform returned {size / MIB:.1f} MiB; it may return {limits.result_bytes / MIB:g} MiB at most"
