"""Answers the many viewers of one log from memory, so that their number costs the database nothing.

All of them ask every few seconds, and mostly for the same. So each web process remembers of a poll that its view
marked with `share` two things: that this viewer may read this log, for five minutes at the most and until anybody's
access changes; and what was said, for a second at the most and while the run stays as it was. Whether that is so it
asks the database ten times a second, and once a second where there are a thousand viewers. Where there are many, what
Django answers is of the same look (see `as_others_see`): else each, having been told of another line as the last, would
ask for something that nobody asked before.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.http import HttpRequest, HttpResponse

from apps.runs.models import Run
from apps.services.access import access_version

# All in seconds: how long it is remembered that a viewer may read; what was said, for it may tell more than the run's
# row does; and how old a look at the database may be, for a few viewers and for a thousand.
ADMITTED_FOR = 300.0
SAID_FOR = 1.0
LOOK_EVERY = 0.1
LOOK_EVERY_OF_MANY = 1.0
# More viewers than these are shown a run as it was when last looked at.
_MANY = 100
# How much is remembered: at most some 20 MB of viewers, and 32 MiB of answers.
_MOST_VIEWERS = 20_000
_MOST_ANSWERS = 512
_MOST_BYTES = 64 * 1024
# All of a request that decides who asks, and in which words they are told; apart from the query.
_DECISIVE = (
    *("wsgi.url_scheme", "REMOTE_ADDR", "SCRIPT_NAME", "PATH_INFO"),
    *("HTTP_HOST", "HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_ACCEPT_LANGUAGE", "HTTP_TRANSFER_ENCODING"),
    *(settings.SECURE_PROXY_SSL_HEADER or ())[:1],
)
# Where a request says how the run was when last looked at: a dict by column.
_SEEN = "synclog.run"


@dataclass(frozen=True, slots=True)
class Shared:
    """The run that an answer is of, as it was read, and who else would get the same."""

    run_id: int
    columns: tuple[str, ...]
    state: tuple[Any, ...]
    audience: Hashable
    seconds: float


def share[Response: HttpResponse](
    response: Response,
    run: Run,
    columns: tuple[str, ...],
    *,
    audience: Hashable,
    seconds: float = ADMITTED_FOR,
) -> Response:
    """Mark the answer to a poll: it is the same for all of an audience while the `columns` of the run stay as they are.

    `run` must have been read before its lines. `seconds` is for how long the viewer may read, if no change ends it.
    """
    state = tuple(getattr(run, column) for column in columns)
    response.shared = Shared(run.pk, columns, state, audience, seconds)  # type: ignore[attr-defined]
    return response


def as_others_see(run: Run, request: HttpRequest) -> Run:
    """The run as its other viewers are shown it just now, where they are many; it was read for this alone."""
    for column, value in request.META.get(_SEEN, {}).items():
        setattr(run, column, value)
    return run


class _Memory[Value]:
    """Values by key, each until its time is up; the oldest make room for new ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, tuple[float, Value]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        until, value = self._kept.get(key, (0.0, None))
        return value if until > time.monotonic() else None

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, key: Hashable, value: Value, until: float) -> None:
        """Keep the value until the monotonic clock shows `until`."""
        with self._lock:
            self._kept.pop(key, None)
            while self._kept:
                oldest = next(iter(self._kept))
                if len(self._kept) < self._most and self._kept[oldest][0] > time.monotonic():
                    break
                del self._kept[oldest]
            self._kept[key] = until, value

    def forget(self, key: Hashable) -> None:
        with self._lock:
            self._kept.pop(key, None)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the database told, and when it was asked, by the monotonic clock."""

    at: float
    value: Any


@dataclass(frozen=True, slots=True)
class _Said:
    asked_at: float
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
        self._looks: _Memory[_Look] = _Memory(_MOST_ANSWERS)
        self._looking = threading.Lock()
        # Questions that Django is just being asked, and what tells when it has answered.
        self._asked: dict[Hashable, threading.Event] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET" or "after=" not in environ["QUERY_STRING"]:
            return self._application(environ, start_response)
        viewer = _viewer(environ)
        # Before it is decided who may read: if that changes meanwhile, it is decided once more next time.
        version = self._look("access", access_version).value
        known_at, shared = self._admitted.get(viewer) or (None, None)
        if shared is None or known_at != version:
            return self._ask(viewer, version, environ, start_response)
        question = _question(shared, environ)
        said = self._recall(shared, question)
        answered = threading.Event()
        if said is None and (other := self._asked.setdefault(question, answered)) is not answered:
            # Somebody asks just this: the answer may be there in a moment, or be for them alone.
            other.wait(LOOK_EVERY_OF_MANY)
            said = self._recall(shared, question)
        if said is not None:
            start_response(said.status, list(said.headers))
            return [said.body]
        if len(self._admitted) > _MANY and isinstance(seen := self._look_at(shared).value, tuple):
            environ[_SEEN] = dict(zip(shared.columns, seen, strict=True))
        try:
            return self._ask(viewer, version, environ, start_response)
        finally:
            if self._asked.get(question) is answered:
                del self._asked[question]
            answered.set()

    def _ask(
        self, viewer: bytes, version: object, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Let Django answer, and remember it."""
        head: tuple[str, list[tuple[str, str]]] = ("", [])

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            nonlocal head
            head = status, list(headers)
            return start_response(status, headers, *error)

        asked_at = time.monotonic()
        response: Any = self._application(environ, start)
        shared: Shared | None = getattr(response, "shared", None)
        if shared is None or response.cookies:
            self._admitted.forget(viewer)
        else:
            # The state may be long, and is what was said is true of.
            admitted = version, replace(shared, state=())
            self._admitted.put(viewer, admitted, asked_at + min(shared.seconds, ADMITTED_FOR))
            if len(response.content) <= _MOST_BYTES:
                said = _Said(asked_at, shared.state, *head, response.content)
                self._said.put(_question(shared, environ), said, asked_at + SAID_FOR)
        return response  # type: ignore[no-any-return] # Django's.

    def _recall(self, shared: Shared, question: Hashable) -> _Said | None:
        """What was said to the same question, if that is still so as far as we have looked."""
        said = self._said.get(question)
        if said is None:
            return None
        look = self._look_at(shared)
        return said if said.asked_at >= look.at or said.state == look.value else None

    def _look_at(self, shared: Shared) -> _Look:
        """The columns of the run, as a tuple."""
        rows = Run.objects.filter(pk=shared.run_id).values_list(*shared.columns)
        return self._look((shared.run_id, shared.columns), rows.first)

    def _look(self, what: Hashable, read: Callable[[], Any]) -> _Look:
        """What is read, or was a moment ago; what equals nothing where it cannot be read."""
        crowd = min(len(self._admitted) / 1000, 1)
        with self._looking:
            look = self._looks.get(what)
            if look is None:
                now = time.monotonic()
                close_old_connections()
                try:
                    look = _Look(now, read())
                except (DatabaseError, InterfaceError):
                    # Not even itself, and later than all that was said: Django is asked, and tells what is wrong.
                    look = _Look(math.inf, math.nan)
                self._looks.put(what, look, now + LOOK_EVERY + crowd * (LOOK_EVERY_OF_MANY - LOOK_EVERY))
        return look


def _viewer(environ: dict[str, Any]) -> bytes:
    """Who asks for which log, as a digest, for there is a session or a token among it."""
    return blake2b(repr([environ.get(name) for name in _DECISIVE]).encode("utf-8", "surrogatepass")).digest()


def _question(shared: Shared, environ: dict[str, Any]) -> Hashable:
    return shared.audience, environ["PATH_INFO"], environ["QUERY_STRING"]
