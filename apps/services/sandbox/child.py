"""Child process: applies its limits, then evaluates the script call by call.

`apps.services.sandbox.process` starts it with an empty environment and talks to it in frames.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from apps.services.sandbox.evaluation import Script, Watch
from apps.services.sandbox.limits import OUT_OF_MEMORY, Limits, ScriptError
from apps.services.sandbox.protocol import Kind, Unpacker, pack

# The interpreter's encoder recurses as deep as the values are nested.
_STACK_BYTES = 64 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    frames, output = reserve_pipes()
    end_with_parent()
    _write(output, Kind.READY)
    script: Script | None = None
    for kind, body in frames:
        try:
            if kind is Kind.LOAD:
                script = _load(json.loads(body), output)
                _write(output, Kind.LOADED)
            elif kind is Kind.CALL and script is not None:
                _write(output, Kind.RESULT, script.transform(body.decode()).encode())
        except ScriptError as error:
            _write(output, Kind.ERROR, str(error).encode(errors="replace"))
        except BaseException as error:  # noqa: BLE001 - panics of the interpreter do not derive from Exception
            _exit_after_crash(output, error)


def _load(message: dict[str, object], output: int) -> Script:
    limits = Limits(**message["limits"])  # type: ignore[arg-type]
    apply_limits(limits)

    def write_log(message: str, level: str) -> None:
        _write(output, Kind.LOG, json.dumps({"message": message, "level": level}).encode())

    return Script(str(message["source"]), str(message["name"]), Watch(limits), write_log)


def reserve_pipes() -> tuple[Iterator[tuple[Kind, bytes]], int]:
    """Reserves the two pipes: prints of other code must not get into the frames."""
    input_, output = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    return _frames(input_), output


def _frames(input_: int) -> Iterator[tuple[Kind, bytes]]:
    unpacker = Unpacker()
    while data := os.read(input_, 1 << 20):
        unpacker.feed(data)
        while frame := unpacker.next():
            yield frame


def _write(output: int, kind: Kind, body: bytes = b"") -> None:
    view = memoryview(pack(kind, body))
    while view:
        view = view[os.write(output, view) :]


def end_with_parent() -> None:
    """Ends this process when its parent dies, where the system supports it, and first if memory runs out."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != int(sys.argv[2]):
        os._exit(1)
    Path("/proc/self/oom_score_adj").write_text("1000")


def apply_limits(limits: Limits) -> None:
    """Sets the resource limits of this process irrevocably."""
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    _soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if hard == resource.RLIM_INFINITY or hard > _STACK_BYTES:
        resource.setrlimit(resource.RLIMIT_STACK, (_STACK_BYTES, hard))
    if sys.platform == "linux":
        # Gradual growth is stopped with the traceback of the script; this limit catches sudden growth.
        own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        max_bytes = own + 3 * limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))


def _exit_after_crash(output: int, error: BaseException) -> NoReturn:
    """Ends the process: the interpreter cannot continue; the parent starts another one."""
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        os._exit(OUT_OF_MEMORY)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    _write(
        output, Kind.ERROR, f"error: the script crashed the interpreter: {reason}".encode(errors="replace")
    )
    os._exit(1)
