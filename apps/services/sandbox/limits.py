"""Limits of a script, and the errors when it exceeds them."""

from __future__ import annotations

from typing import NamedTuple

MIB = 1024 * 1024

# Exit code of the child process when it ran out of memory.
OUT_OF_MEMORY = 70


class ScriptError(Exception):
    """The script failed or was stopped: its traceback, or the reason."""


class Limits(NamedTuple):
    """Limits of one call of a script; the code outside of functions counts as one call."""

    # Wall time in seconds, and the CPU time within it.
    wall_seconds: float = 60
    cpu_seconds: float = 60
    # Bytes beyond the interpreter itself; a single step may use three times as much.
    memory_bytes: int = 512 * MIB
    # Bytes of log(); each line counts 64 more.
    log_bytes: int = 1 * MIB
    # Bytes of the records that `transform` returns, as JSON.
    result_bytes: int = 8 * MIB
    # Depth of nested calls.
    call_depth: int = 200


def too_large(size: int, limits: Limits) -> str:
    """The message for a result of `size` bytes."""
    return f"transform returned {size / MIB:.1f} MiB; it may return {limits.result_bytes / MIB:g} MiB at most"
