"""Stages of opening a connection, reported to a test of the connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum, auto
from typing import Any

type Observer = Callable[[Stage, Any], None]


class Stage(Enum):
    """A completed stage, and what is reported with it."""

    CONNECTED = auto()  # With the socket.
    TUNNELLED = auto()  # Through the proxy.
    SECURED = auto()  # With the TLS socket.
    IDENTIFIED = auto()  # With the host key of the SSH server, which is trusted.


_observer: ContextVar[Observer | None] = ContextVar("stage observer", default=None)


def report(stage: Stage, subject: Any = None) -> None:
    """Reports a stage to the observer of this thread, if there is one."""
    if observer := _observer.get():
        observer(stage, subject)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Reports the stages of connections that this thread opens meanwhile."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)
