"""Ten thousand viewers of one run that says little: how late they are answered, and what they cost the database."""

import itertools
import json
import sys
import threading
import time
from contextlib import ExitStack, closing
from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.crypto import get_random_string

from apps.api.models import ApiToken
from apps.runs.log.run_log import RunLog
from apps.runs.log.viewers import ADMITTED_FOR
from apps.runs.models import Run
from tests import factories
from tests.benchmarks.harness import Figure, benchmark
from tests.benchmarks.polling import logger
from tests.benchmarks.rows import make_staff
from tests.benchmarks.web import Connection, Web, request_bytes, token_headers

VIEWERS = 10_000
FEWER_VIEWERS = 1_000
# Seconds, as the page has it.
POLL_EVERY = 5
SECONDS = 20
GIVE_UP_AFTER = 10
SAY_EVERY = 5
SAY_EVERY_WHEN_BUSY = 1 / 20
# Kept alive, as a proxy does.
CONNECTIONS = 8
# Each web worker has a memory of its own, and sees every other poll of a viewer.
POLLS_REMEMBERED = int(ADMITTED_FOR // POLL_EVERY) // 2
_polls_before = itertools.count()


class Viewer:
    """Asks for what comes after the last line it was told, with a token or a session of its own."""

    # The page of one who comes now shows the lines up to here.
    _latest = 0

    def __init__(self, path: str, next_key: str, headers: dict[str, str]) -> None:
        self._path, self._next_key, self._headers = path, next_key, headers
        self._after = 0
        self._version = ""
        # Each comes to be looked at anew at another time.
        self._polls = next(_polls_before)

    def poll(self, asked: Connection) -> None:
        # With another language it is somebody who was not seen before.
        headers = self._headers | {"Accept-Language": f"en;q=0.{self._polls // POLLS_REMEMBERED + 1}"}
        after = self._after or Viewer._latest
        status, body = asked.ask(request_bytes(f"{self._path}?after={after}{self._version}", headers))
        assert status == 200, body
        told = json.loads(body)
        Viewer._latest = self._after = told[self._next_key]
        # The page says what it knows of the run's head; the API does not ask.
        if "version" in told:
            self._version = f"&version={told['version']}"
        self._polls += 1


@benchmark(
    "viewers_10000_p99_s",
    "s",
    databases=["postgresql"],
    also={
        "viewers_10000_transactions_per_s": "/s",
        "viewers_10000_busy_p99_s": "s",
        "viewers_10000_busy_transactions_per_s": "/s",
        "viewers_first_polls_per_s": "requests/s",
    },
)
def viewers() -> dict[str, Figure]:
    """10,000 viewers of one run, each asking every 5 s: from when each poll is due until it is answered.

    Half of them with a token, half with a session, all of their own. The run says a line every 5 s meanwhile. The
    database's transactions, those of the run apart, are compared with those of 1,000 viewers. Before that all come for
    the first time, which is measured too; and as in a long time each of them is forgotten after its minutes, and so
    decided upon anew. At last the run is busy, and says 20 lines a second. Client, two web workers and database are on
    the same cores.
    """
    run = factories.make_run(status=Run.Status.QUEUED)
    token = run.claim("benchmark")
    assert token is not None
    all_viewers = _make_viewers(run)
    figures: dict[str, Figure] = {}
    is_busy = threading.Event()
    with Web() as web, RunLog(run, token) as log:
        watching = threading.Thread(target=_measure, args=(web.port, all_viewers, is_busy, figures))
        watching.start()
        while watching.is_alive():
            logger.info("Pulled 100 records from https://shop.example/orders")
            watching.join(SAY_EVERY_WHEN_BUSY if is_busy.is_set() else SAY_EVERY)
        log.seal()
    return figures


def _measure(
    port: int, all_viewers: list[Viewer], is_busy: threading.Event, figures: dict[str, Figure]
) -> None:
    nobody = _watch([], [])[1]
    with ExitStack() as stack:
        asked = [stack.enter_context(closing(Connection(port))) for _number in range(CONNECTIONS)]
        _come(asked, all_viewers[:FEWER_VIEWERS])
        fewer = _watch(asked, all_viewers[:FEWER_VIEWERS])[1]
        first_polls = _come(asked, all_viewers[FEWER_VIEWERS:])
        late, transactions = _watch(asked, all_viewers)
        is_busy.set()
        late_when_busy, transactions_when_busy = _watch(asked, all_viewers)
    figures["viewers_10000_p99_s"] = _all_but_hundredth(late)
    figures["viewers_10000_transactions_per_s"] = Figure(transactions - nobody, fewer - nobody)
    figures["viewers_10000_busy_p99_s"] = _all_but_hundredth(late_when_busy)
    figures["viewers_10000_busy_transactions_per_s"] = Figure(transactions_when_busy, transactions)
    figures["viewers_first_polls_per_s"] = Figure(first_polls)
    connection.close()


def _all_but_hundredth(late: list[float]) -> Figure:
    print(f"Half of the polls were answered after {late[len(late) // 2] * 1000:.1f} ms", file=sys.stderr)
    return Figure(late[int(len(late) * 0.99)])


def _make_viewers(run: Run) -> list[Viewer]:
    user = make_staff()
    client = Client()
    client.force_login(user)
    session = Session.objects.get(session_key=client.session.session_key)
    sessions = [
        Session(
            session_key=get_random_string(32),
            session_data=session.session_data,
            expire_date=session.expire_date,
        )
        for _number in range(VIEWERS // 2)
    ]
    Session.objects.bulk_create(sessions)
    tokens, secrets = [], []
    for number in range(VIEWERS // 2):
        token = ApiToken(
            user=user,
            name=f"Viewer {number}",
            scopes=[ApiToken.Scope.RUN_READ],
            expires_at=timezone.now() + timedelta(days=90),
        )
        secrets.append(token.set_new_secret())
        tokens.append(token)
    ApiToken.objects.bulk_create(tokens)
    made = []
    for session, secret in zip(sessions, secrets, strict=True):
        cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session.session_key}"}
        made.append(Viewer(f"/admin/runs/run/{run.pk}/log/feed/", "cursor", cookie))
        made.append(Viewer(f"/api/v1/runs/{run.pk}/log/", "next_after", token_headers(secret)))
    return made


def _come(asked: list[Connection], some: list[Viewer]) -> float:
    """Let all of them ask for the first time, as fast as they can: how many are answered in a second."""
    began = time.perf_counter()
    _poll(asked, some, began, spread=0, rounds=1)
    return len(some) / (time.perf_counter() - began)


def _watch(asked: list[Connection], some: list[Viewer]) -> tuple[list[float], float]:
    """How late each poll was answered, in order of size, and the database's transactions a second."""
    before, began = _transactions(), time.perf_counter()
    late = _poll(asked, some, began, spread=POLL_EVERY, rounds=SECONDS // POLL_EVERY)
    time.sleep(max(0, began + SECONDS - time.perf_counter()))
    # PostgreSQL tells of what a connection has done within a second, or when it has nothing to do.
    return sorted(late), (_transactions() - before) / (time.perf_counter() - began)


def _poll(
    asked: list[Connection], some: list[Viewer], began: float, *, spread: float, rounds: int
) -> list[float]:
    """Let each viewer ask once in each round of `spread` seconds, one after the other; how late each was answered."""
    late: list[float] = []

    def ask(number: int) -> None:
        for turn in range(rounds):
            for place in range(number, len(some), len(asked)):
                due = began + spread * (turn + place / len(some))
                if spread:
                    time.sleep(max(0, due - time.perf_counter()))
                some[place].poll(asked[number])
                late.append(time.perf_counter() - due)
                if spread and late[-1] > GIVE_UP_AFTER:
                    return

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return late


def _transactions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
