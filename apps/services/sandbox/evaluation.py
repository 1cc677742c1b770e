"""Evaluation of a script with Starlark, watched by timers and memory checks. Runs in the child process."""

from __future__ import annotations

import functools
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import starlark

from apps.services.sandbox.error_messages import OURS, error_message
from apps.services.sandbox.library import LIBRARY
from apps.services.sandbox.limits import MIB, Limits, ScriptError, too_large
from apps.services.sandbox.shapes import RESTORE, restore

LEVELS = ("debug", "info", "warning", "error")

# Evaluated before the script, which sees its definitions.
_PRELUDE = """
def log(message, level = "info"):
    _log(message if type(message) == "string" else str(message), level)

def print(*values):
    _log(" ".join([value if type(value) == "string" else str(value) for value in values]), "info")

""" + "\n".join(
    f"{module} = struct({', '.join(f'{name} = _{module}_{name}' for name in functions)})"
    for module, functions in LIBRARY.items()
)

# Evaluated after the script. JSON text is many times faster than objects for all but a few records.
_ENTRANCES = (
    """
load("script", "transform")
"""
    + RESTORE
    + """
def probe():
    if type(transform) != "function":
        fail("transform is not a function; write: def transform(records):")
    transform([], no_such_parameter = None)

def call_with_text(text):
    return encode(transform(decode(text)))

def decode(text):
    shapes, value = json.decode(text)
    return restore(value, shapes)

def call_with_objects(records):
    return encode(transform(records))

def encode(result):
    if type(result) != "list":
        what = "nothing" if result == None else "a value of type " + type(result)
        fail("transform returned " + what + "; it must return a list of records")
    return json.encode(result)
"""
)
_DECODING = re.compile(rf"{OURS}:\d+, in decode\b")
_DEFINITION = re.compile(r"^(?:def transform\b|transform\s*=)", re.MULTILINE)
# If something is missing at the end, the parser names the beginning and no line.
_AT_THE_END = re.compile(r"^--> .*:1:1$", re.MULTILINE)
_NO_SUCH_PARAMETER = "`no_such_parameter` extra named parameter"
_WRONG_PARAMETERS = re.compile(r"^(?:Missing .*|Found .* (?:positional|named) .*|Wrong number .*)$")

# The interpreter decodes integers of more than 64 bits as floats.
_LONG_NUMBER = re.compile(r"\d{19,}")

_E = starlark.LibraryExtension
_GLOBALS = starlark.Globals.extended_by([_E.Map, _E.Filter, _E.Partial, _E.Json, _E.StructType])
# Memory is measured at every fourth check, because a measurement costs more than the rest of a check.
_CHECKS_PER_MEASUREMENT = 4


# Counted for each log line besides its text, so that empty lines are limited as well.
_BYTES_OF_A_LINE = 64


class LimitReached(Exception):
    """A limit was reached within a library function."""


class Watch:
    """Decides whether the script must stop, and why: by timers and measurements."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stopped = ""
        self._in_library = False
        self._check_count = 0
        self._memory = Memory()
        self._max_memory_bytes = 0
        signal.signal(signal.SIGALRM, functools.partial(self._expire, f"ran for {limits.wall_seconds:g} s"))
        signal.signal(
            signal.SIGPROF,
            functools.partial(self._expire, f"used {limits.cpu_seconds:g} s of processor time"),
        )

    @contextmanager
    def limit_call(self) -> Iterator[None]:
        """Applies the limits within the block."""
        self.stopped = ""
        self._max_memory_bytes = self._memory.used_bytes() + self.limits.memory_bytes
        # In case the timers do not get through, the system ends the process.
        max_seconds = int(time.process_time() + self.limits.cpu_seconds) + 2
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (max_seconds, hard))
        signal.setitimer(signal.ITIMER_PROF, self.limits.cpu_seconds)
        signal.setitimer(signal.ITIMER_REAL, self.limits.wall_seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)

    def must_stop(self) -> bool:
        """Called by the interpreter during evaluation."""
        self._check_count += 1
        if (
            self._check_count % _CHECKS_PER_MEASUREMENT == 0
            and self._memory.used_bytes() > self._max_memory_bytes
        ):
            self.stopped = f"the script used more than {self.limits.memory_bytes / MIB:g} MiB of memory"
        return bool(self.stopped)

    def make_interruptible(self, function: Callable[..., object]) -> Callable[..., object]:
        """`function`, interruptible by a timer: a regular expression may run for years."""

        @functools.wraps(function)
        def call(*arguments: object, **named: object) -> object:
            self._in_library = True
            try:
                return function(*arguments, **named)
            finally:
                self._in_library = False

        return call

    def _expire(self, what: str, *_signal: object) -> None:
        self.stopped = f"the script {what} and was stopped"
        if self._in_library:
            raise LimitReached(self.stopped)


class Script:
    """A script that was evaluated once and is called for each page."""

    def __init__(self, source: str, name: str, watch: Watch, write_log: Callable[[str, str], None]) -> None:
        """Raises ScriptError if the script is invalid."""
        self._source = source
        self._name = name
        self._watch = watch
        self._options = starlark.EvalOptions(
            check_cancelled=watch.must_stop, max_callstack_size=watch.limits.call_depth
        )
        self._write_log = write_log
        self._log_bytes = 0
        dialect = starlark.Dialect.extended()
        dialect.enable_load = False
        dialect.enable_f_strings = True
        module = starlark.Module()
        module.add_callable("_log", watch.make_interruptible(self._log))
        for prefix, functions in LIBRARY.items():
            for function_name, function in functions.items():
                module.add_callable(f"_{prefix}_{function_name}", watch.make_interruptible(function))
        entrances = starlark.Module()
        with self._limited():
            starlark.eval(module, starlark.parse(OURS, _PRELUDE, dialect), _GLOBALS)
            starlark.eval_with(self._options, module, starlark.parse(name, source, dialect), _GLOBALS)
            frozen = module.freeze()
            starlark.eval(
                entrances,
                starlark.parse(OURS, _ENTRANCES, starlark.Dialect.extended()),
                _GLOBALS,
                starlark.FileLoader(lambda _name: frozen),
            )
        self._entrances = entrances.freeze()
        self._probe()

    def _probe(self) -> None:
        """Raises ScriptError unless `transform` takes one list; the call never enters it."""
        try:
            self._entrances.call_with(self._options, "probe")
        except starlark.StarlarkError as error:
            if _NO_SUCH_PARAMETER not in str(error):
                raise ScriptError(self._explained(error)) from None

    def transform(self, text: str) -> str:
        """Passes a list of records as JSON to the script and returns its list. Raises ScriptError."""
        self._log_bytes = 0
        with self._limited():
            if not _LONG_NUMBER.search(text):
                try:
                    return self._call("call_with_text", text)
                except starlark.StarlarkError as error:
                    # The decoder is limited to 128 levels.
                    if not _DECODING.search(str(error)):
                        raise
            shapes, value = json.loads(text)
            return self._call("call_with_objects", restore(value, shapes))

    def _call(self, entrance: str, argument: object) -> str:
        result = str(self._entrances.call_with(self._options, entrance, argument).value)
        if (size := len(result.encode())) > self._watch.limits.result_bytes:
            raise ScriptError(self._placed(too_large(size, self._watch.limits)))
        return result

    @contextmanager
    def _limited(self) -> Iterator[None]:
        try:
            with self._watch.limit_call():
                yield
        except starlark.StarlarkError as error:
            raise ScriptError(self._explained(error)) from None

    def _explained(self, error: starlark.StarlarkError) -> str:
        text = error_message(str(error), stopped=self._watch.stopped)
        if _WRONG_PARAMETERS.match(text):
            text = f"transform must take one parameter, the list of records\n({text})"
        return self._placed(text)

    def _placed(self, text: str) -> str:
        """Adds a position in the script to errors that have none."""
        if _AT_THE_END.search(text):
            lines = self._source.rstrip().split("\n")
            return _AT_THE_END.sub(f" --> {self._name}:{len(lines)}:{len(lines[-1]) + 1}", text)
        # An error about the whole script is reported at its first line.
        if f"{self._name}:" not in text and (definition := _DEFINITION.search(self._source)):
            return f"{text}\n --> {self._name}:{self._source.count('\n', 0, definition.start()) + 1}:1"
        return text

    def _log(self, message: str, level: str) -> None:
        if level not in LEVELS:
            raise ValueError(f"unknown level {level!r}; write one of {', '.join(LEVELS)}")
        self._log_bytes += len(message.encode()) + _BYTES_OF_A_LINE
        if self._log_bytes > self._watch.limits.log_bytes:
            raise LimitReached(
                f"the script logged more than {self._watch.limits.log_bytes / MIB:g} MiB and was stopped"
            )
        self._write_log(message, level)


class Memory:
    """Measures the memory of this process."""

    def __init__(self) -> None:
        statm = Path("/proc/self/statm")
        self._statm = os.open(statm, os.O_RDONLY) if statm.exists() else None
        self._page = resource.getpagesize()

    def used_bytes(self) -> int:
        if self._statm is None:
            # The peak is sufficient.
            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return int(os.pread(self._statm, 100, 0).split()[0]) * self._page
