"""Trial of a connection with settings that may be unsaved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from threading import Event

from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from apps.runs.execution.interruption import RunAbandoned, RunCancelled, RunStopped
from apps.runs.execution.supervision import supervise
from apps.runs.log.text import clean_message, make_masker
from apps.runs.trial.slots import trial_slot
from apps.services.connectors.base import RunContext
from apps.services.connectors.connection_test import check_connection
from apps.services.connectors.connection_test.progress import ConnectionTest
from apps.services.models import Connection

# With STOP_TIMEOUT of the supervision, a trial takes at most 30 seconds.
MAX_SECONDS = 28.0


def try_connection(
    connection: Connection, *, is_cancelled: Callable[[], bool], forgets_host_key: bool = False
) -> ConnectionTest:
    """Tests `connection` for at most MAX_SECONDS, or until `is_cancelled`. Secrets in the result are masked."""
    deadline = time.monotonic() + MAX_SECONDS
    language = get_language()
    secrets = set(connection.secrets())
    test = ConnectionTest()
    abandoned = Event()

    def check() -> None:
        if abandoned.is_set():
            raise RunAbandoned
        if is_cancelled():
            raise RunCancelled(_("Cancelled."))
        if time.monotonic() > deadline:
            text = _("No result after %(seconds)g s, the limit of a test.")
            raise RunStopped(text % {"seconds": MAX_SECONDS})

    context = RunContext(run_id=0, max_attempts=1, check=check, add_secret=secrets.add)

    def work() -> None:
        # Another thread begins with the default language.
        with override(language):
            check_connection(connection, context, test, forgets_host_key=forgets_host_key)

    def abandon() -> None:
        abandoned.set()
        context.abandon()

    try:
        with trial_slot(MAX_SECONDS):
            supervise(work, check, abandon)
    except (RunCancelled, RunStopped) as error:
        # What the other thread does from now on is not shown.
        test = deepcopy(test)
        test.fail(str(error), _advice(error))
        test.is_cancelled = isinstance(error, RunCancelled)
    _mask(test, secrets)
    return test


def _advice(error: Exception) -> str:
    if isinstance(error, RunCancelled):
        return ""
    return _(
        "Check whether the system responds, whether a firewall drops the packets, and the timeouts above."
    )


def _mask(test: ConnectionTest, secrets: Iterable[str]) -> None:
    mask = make_masker(secrets) or str
    for step in test.steps:
        step.detail = clean_message(mask(step.detail))
