"""Answers the many viewers of one log from memory, so that their number costs the database nothing.

All of them ask every few seconds, and mostly for the same. So each web process remembers of a poll that its view
marked with `share` two things: that this viewer may read this log, for a minute at the most and until anybody's
access changes; and what was said, for a few seconds and while the run stays as it was. Whether that is so it asks the
database ten times a second at the most, however many viewers there are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections
from django.http import HttpResponse

from apps.runs.models import Run
from apps.services.access import access_version

# All in seconds: how long it is remembered that a viewer may read; what was said, for it may speak of the time; and
# how old a look at the database may be.
ADMITTED_FOR = 60.0
SAID_FOR = 5.0
LOOK_EVERY = 0.1
# How much is remembered: at most some 10 MB of viewers, and 32 MiB of answers.
_MOST_VIEWERS = 20_000
_MOST_ANSWERS = 512
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Shared:
    """The run that an answer is of, as it was read, and who else would get the same."""

    run_id: int
    columns: tuple[str, ...]
    state: tuple[Any, ...]
    audience: Hashable
    seconds: float


def share[Response: HttpResponse](
    response: Response, run: Run, columns: tuple[str, ...], *, seconds: float, audience: Hashable = ()
) -> Response:
    """Mark the answer to a poll: it is the same for all of an audience while the `columns` of the run stay as they are.

    `run` must have been read before its lines. `seconds` is how long the viewer's session or token still lives.
    """
    state = tuple(getattr(run, column) for column in columns)
    response.shared = Shared(run.pk, columns, state, audience, seconds)  # type: ignore[attr-defined]
    return response


class _Memory[Value]:
    """Values by key, each until its time is up; the oldest make room for new ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, tuple[float, Value]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        until, value = self._kept.get(key, (0.0, None))
        return value if until > time.monotonic() else None

    def put(self, key: Hashable, value: Value, until: float) -> None:
        """Keep the value until the monotonic clock shows `until`."""
        with self._lock:
            self._kept.pop(key, None)
            while len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = until, value


@dataclass(frozen=True, slots=True)
class _Said:
    state: tuple[Any, ...]
    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Viewers:
    """WSGI middleware around Django, which is asked whatever cannot be answered from memory."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._admitted: _Memory[tuple[object, Shared]] = _Memory(_MOST_VIEWERS)
        self._said: _Memory[_Said] = _Memory(_MOST_ANSWERS)
        self._seen: _Memory[tuple[Any]] = _Memory(_MOST_ANSWERS)
        self._looking = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET" or "after=" not in environ["QUERY_STRING"]:
            return self._application(environ, start_response)
        viewer = _viewer(environ)
        try:
            # Before it is decided who may read: if that changes meanwhile, it is decided once more next time.
            version = self._look("access", access_version)
            said = self._recall(viewer, version, environ)
        except (DatabaseError, InterfaceError):
            return self._application(environ, start_response)
        if said is not None:
            start_response(said.status, list(said.headers))
            return [said.body]
        head: tuple[str, list[tuple[str, str]]] = ("", [])

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            nonlocal head
            head = status, list(headers)
            return start_response(status, headers, *error)

        response: Any = self._application(environ, start)
        if (shared := getattr(response, "shared", None)) and not response.cookies:
            now = time.monotonic()
            self._admitted.put(viewer, (version, shared), now + min(shared.seconds, ADMITTED_FOR))
            if len(response.content) <= _MOST_BYTES:
                said = _Said(shared.state, *head, response.content)
                self._said.put(_question(shared, environ), said, now + SAID_FOR)
        return response  # type: ignore[no-any-return] # Django's.

    def _recall(self, viewer: bytes, version: object, environ: dict[str, Any]) -> _Said | None:
        """What this viewer is to be told, if it was said before and is still so. Raises DatabaseError."""
        known_at, shared = self._admitted.get(viewer) or (None, None)
        if shared is None or known_at != version:
            return None
        said = self._said.get(_question(shared, environ))
        if said is None:
            return None
        rows = Run.objects.filter(pk=shared.run_id).values_list(*shared.columns)
        return said if said.state == self._look((shared.run_id, shared.columns), rows.first) else None

    def _look(self, what: Hashable, read: Callable[[], Any]) -> Any:
        """What is read, or was read a moment ago. Raises DatabaseError."""
        with self._looking:
            seen = self._seen.get(what)
            if seen is None:
                until = time.monotonic() + LOOK_EVERY
                close_old_connections()
                seen = (read(),)
                self._seen.put(what, seen, until)
        return seen[0]


def _viewer(environ: dict[str, Any]) -> bytes:
    """Who asks for which log, and how: all that may decide what they are told, apart from the query."""
    asked = [environ["wsgi.url_scheme"], environ["REMOTE_ADDR"], environ["PATH_INFO"]]
    asked += [f"{name}={value}" for name, value in environ.items() if name.startswith("HTTP_")]
    # A digest, for there is a session or a token among it.
    return blake2b(repr(asked).encode("utf-8", "surrogatepass")).digest()


def _question(shared: Shared, environ: dict[str, Any]) -> Hashable:
    return shared.run_id, shared.columns, shared.audience, environ["PATH_INFO"], environ["QUERY_STRING"]
