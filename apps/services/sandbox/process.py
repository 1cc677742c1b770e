"""Starts the child process of a script, talks to it, and ends it when it exceeds its time."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from apps.services.exact_json import ExactNumber
from apps.services.sandbox.error_messages import with_headline
from apps.services.sandbox.limits import MIB, OUT_OF_MEMORY, Limits, ScriptError, too_large
from apps.services.sandbox.protocol import Kind, Unpacker, pack
from apps.services.sandbox.shapes import ShapeEncoder
from apps.services.sandbox.spellings import Spellings

# Logger of log(), so that a line shows that it comes from the script.
script_logger = logging.getLogger("apps.services.script")

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_ROOT = Path(__file__).resolve().parents[3]
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from apps.services.sandbox.child import main; main()"
# Time that Python may take to start on a busy machine, in seconds.
_START_SECONDS = 60
# Time after which a child that has not stopped the script itself is killed, in seconds.
_GRACE_SECONDS = 2
# How often `check` is called while a script runs, in seconds.
CHECK_INTERVAL = 1.0
# Numbers that a warning lists.
_MAX_LISTED = 10
# The halves of surrogate pairs by the private characters that stand for them in a script.
_FIRST_PRIVATE = 0x10F000
_SURROGATES = {_FIRST_PRIVATE + number: 0xD800 + number for number in range(0x800)}


class Sandbox:
    """A custom script in a child process, which is started by the first call and serves them all.

    with Sandbox(source, name="orders") as sandbox:
        for page in pages:
            records = sandbox.transform(page.records, check)
    """

    def __init__(self, source: str, *, name: str = "script", limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._source = source
        self._name = name
        self._limits = limits
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def transform(self, records: list[Any], check: Callable[[], None] = lambda: None) -> list[Any]:
        """The records that the script returns for the records of one page.

        `check` is called about every second; if it raises, the script is ended and the error is raised. Raises
        ScriptError with the traceback of the script or the reason.
        """
        spellings = Spellings()
        result = self._call(_encoded(records, spellings.float_of), check)
        try:
            if spellings.are_ambiguous:
                return self._resolved(records, spellings, result, check)
            return _list(spellings.restore(result))
        except ValueError as error:
            raise ScriptError(f"The result of the script cannot be read: {error}.") from None

    def _resolved(
        self, records: list[Any], spellings: Spellings, result: str, check: Callable[[], None]
    ) -> list[Any]:
        """The result, with spellings that a second call shows."""
        spellings.choose_neighbours()
        try:
            second = self._call(_encoded(records, spellings.neighbour_of), check, is_quiet=True)
        except ScriptError:
            second = "[]"
        returned, unknown = spellings.restore_by(result, second)
        if unknown:
            script_logger.warning(
                "Some numbers have several spellings in the records, and it is unknown which of them the script "
                "returns; they get the first one: %s",
                ", ".join(unknown[:_MAX_LISTED]),
            )
        return _list(returned)

    def _call(self, records: str, check: Callable[[], None], *, is_quiet: bool = False) -> str:
        try:
            body, has_surrogates = records.encode(), False
        except UnicodeEncodeError:
            body, has_surrogates = _with_private_characters(records).encode(), True
        try:
            if self._child is None:
                self._child = self._load(check)
            self._child.is_quiet = is_quiet
            result = self._child.request(pack(Kind.CALL, body), Kind.RESULT, check).decode()
        except BaseException:
            # The child may be busy, and a failed run does not call again.
            self.close()
            raise
        return result.translate(_SURROGATES) if has_surrogates else result

    def check(self) -> None:
        """Raises ScriptError unless the script is valid and has a `transform` that takes one list."""
        self._load(lambda: None, is_quiet=True)
        self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _load(self, check: Callable[[], None], *, is_quiet: bool = False) -> Child:
        message = {"source": self._source, "name": self._name, "limits": self._limits._asdict()}
        child = self._child = Child(self._limits, is_quiet=is_quiet)
        child.await_start(check)
        child.request(pack(Kind.LOAD, json.dumps(message).encode()), Kind.LOADED, check)
        return child


@lru_cache(maxsize=16)
def check_script(source: str) -> None:
    """Validates a script: it is evaluated, but `transform` is not called. Raises ScriptError.

    The cache holds valid scripts only: most services are saved and loaded again with the script unchanged.
    """
    limits = Limits(wall_seconds=1.5, cpu_seconds=1.5, memory_bytes=256 * MIB)
    sandbox = Sandbox(source, limits=limits)
    try:
        sandbox.check()
    finally:
        sandbox.close()


class Child:
    """The process and the two pipes to it."""

    def __init__(self, limits: Limits, *, is_quiet: bool) -> None:
        self._limits = limits
        self.is_quiet = is_quiet
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-c", _PROGRAM, str(_ROOT), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            bufsize=0,
            start_new_session=True,
        )
        self._input = cast("IO[bytes]", self._process.stdin).fileno()
        self._output = cast("IO[bytes]", self._process.stdout).fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        self._unpacker = Unpacker()
        self._log_bytes = 0

    def await_start(self, check: Callable[[], None]) -> None:
        self._exchange(b"", Kind.READY, check, _START_SECONDS)

    def request(self, message: bytes, expected: Kind, check: Callable[[], None]) -> bytes:
        """The body of the response. Raises ScriptError."""
        return self._exchange(message, expected, check, self._limits.wall_seconds + _GRACE_SECONDS)

    def close(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def _exchange(self, message: bytes, expected: Kind, check: Callable[[], None], seconds: float) -> bytes:
        """Writes and reads at the same time, so that neither process waits for the other."""
        left = memoryview(message)
        now = time.monotonic()
        deadline, next_check = now + seconds, now + CHECK_INTERVAL
        self._log_bytes = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            if left:
                selector.register(self._input, selectors.EVENT_WRITE)
            while True:
                for key, _events in selector.select(max(0.0, min(deadline, next_check) - time.monotonic())):
                    if key.fd == self._output:
                        if (body := self._read(expected)) is not None:
                            return body
                    elif not (left := self._write(left)):
                        selector.unregister(self._input)
                now = time.monotonic()
                if now >= deadline:
                    raise ScriptError(self._timeout_message(expected))
                if now >= next_check:
                    check()
                    next_check = now + CHECK_INTERVAL

    def _write(self, left: memoryview) -> memoryview:
        try:
            return left[os.write(self._input, left) :]
        except BlockingIOError:
            return left
        except BrokenPipeError:
            # The end of the other pipe shows how it ended.
            return left[len(left) :]

    def _read(self, expected: Kind) -> bytes | None:
        """The body of the expected response when it is complete. Raises ScriptError if the child reports one."""
        try:
            data = os.read(self._output, 1 << 20)
        except BlockingIOError:
            return None
        if not data:
            raise ScriptError(self._exit_reason())
        self._unpacker.feed(data)
        while frame := self._unpacker.next():
            kind, body = frame
            if kind is expected:
                return body
            if kind is Kind.LOG:
                self._log(body)
            if kind is Kind.ERROR:
                raise ScriptError(with_headline(body.decode(errors="replace")))
        if len(self._unpacker) > self._limits.result_bytes + MIB:
            raise ScriptError(too_large(len(self._unpacker), self._limits))
        return None

    def _log(self, body: bytes) -> None:
        line = json.loads(body)
        self._log_bytes += len(line["message"].encode())
        if self._log_bytes > self._limits.log_bytes:
            raise ScriptError(
                f"The script logged more than {self._limits.log_bytes / MIB:g} MiB and was stopped."
            )
        if not self.is_quiet:
            script_logger.log(_LEVELS[line["level"]], "%s", line["message"])

    def _timeout_message(self, expected: Kind) -> str:
        if expected is Kind.READY:
            return f"The script's process did not start within {_START_SECONDS} s."
        return f"The script ran for {self._limits.wall_seconds:g} s and was stopped."

    def _exit_reason(self) -> str:
        """Why the child has ended."""
        code = self._process.wait()
        memory = f"{self._limits.memory_bytes / MIB:g} MiB"
        if code in (OUT_OF_MEMORY, -signal.SIGABRT):
            return f"The script took more than {memory} of memory and was stopped."
        if code == -signal.SIGXCPU:
            return f"The script used {self._limits.cpu_seconds:g} s of processor time and was stopped."
        if code == -signal.SIGSEGV:
            return "The script was stopped: it nests values or calls too deeply."
        if code == -signal.SIGKILL:
            return "The script was killed from outside; perhaps the machine had no more memory."
        return f"The script's process ended without an error message (exit code {code})."


def _encoded(records: list[Any], float_of: Callable[[ExactNumber], str]) -> str:
    try:
        return ShapeEncoder(float_of).document(records)
    except (TypeError, ValueError, RecursionError) as error:
        raise ScriptError(f"The records cannot be handed to the script as JSON: {error}.") from None


def _with_private_characters(text: str) -> str:
    """`text` with private characters instead of halves of surrogate pairs, which are not characters."""
    if any(character in _SURROGATES for character in map(ord, text)):
        raise ScriptError(
            "The records cannot be handed to the script: they contain halves of surrogate pairs and private "
            f"characters from U+{_FIRST_PRIVATE:X}, which stand for them."
        )
    return text.translate({half: private for private, half in _SURROGATES.items()})


def _list(returned: Any) -> list[Any]:
    if not isinstance(returned, list):
        raise ScriptError("The script did not return a list.")
    return returned
