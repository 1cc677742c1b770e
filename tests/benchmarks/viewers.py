"""Delay of the polls of 1,000 viewers of one busy run."""

import json
import sys
import threading
import time
from contextlib import closing
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from django.utils.crypto import get_random_string

from apps.api.models import ApiToken
from apps.runs.log.run_log import RunLog
from apps.runs.models import Run
from tests import factories
from tests.benchmarks.harness import Figure, benchmark
from tests.benchmarks.polling import logger
from tests.benchmarks.rows import make_staff
from tests.benchmarks.web import Connection, Web, request_bytes, token_headers

VIEWERS = 1_000
POLL_INTERVAL_SECONDS = 5
ROUNDS = 4
LINES_PER_SECOND = 20
CLIENT_THREADS = 8


class Viewer:
    """Polls for the lines after the last one it received, with a token or a session of its own."""

    def __init__(self, path: str, next_key: str, headers: dict[str, str]) -> None:
        self._path, self._next_key, self._headers = path, next_key, headers
        self._after = 0
        self._version = ""

    def poll(self, connection: Connection) -> None:
        path = f"{self._path}?after={self._after}{self._version}"
        status, body = connection.send(request_bytes(path, self._headers))
        assert status == 200, body
        page = json.loads(body)
        self._after = page[self._next_key]
        # The page of the console sends the version of the run status that it shows.
        if "version" in page:
            self._version = f"&version={page['version']}"


@benchmark("viewers_1000_p99_s", "s", databases=["postgresql"])
def viewers() -> Figure:
    """From the moment a poll is due to its response, for 1,000 viewers who poll every 5 s.

    Half of them use a token, half a session, and each poll a connection of its own, because gunicorn closes idle ones
    after 2 s. The run logs 20 lines a second. Client, two web workers and database share the cores.
    """
    run = factories.make_run(status=Run.Status.QUEUED)
    token = run.claim("benchmark")
    assert token is not None
    all_viewers = make_viewers(run)
    delays: list[float] = []
    with Web() as web, RunLog(run, token) as log:
        watching = threading.Thread(target=watch, args=(web.port, all_viewers, delays))
        watching.start()
        while watching.is_alive():
            logger.info("Pulled 100 records from https://shop.example/orders")
            watching.join(1 / LINES_PER_SECOND)
        log.seal()
    delays.sort()
    print(f"Median delay of a poll: {delays[len(delays) // 2] * 1000:.1f} ms", file=sys.stderr)
    return Figure(delays[int(len(delays) * 0.99)])


def make_viewers(run: Run) -> list[Viewer]:
    user = make_staff()
    made = []
    for session_key, secret in zip(make_sessions(user), make_tokens(user), strict=True):
        cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session_key}"}
        made.append(Viewer(f"/admin/runs/run/{run.pk}/log/feed/", "cursor", cookie))
        made.append(Viewer(f"/api/v1/runs/{run.pk}/log/", "next_after", token_headers(secret)))
    return made


def make_sessions(user: User) -> list[str]:
    client = Client()
    client.force_login(user)
    copied = Session.objects.get(session_key=client.session.session_key)
    keys = [get_random_string(32) for _number in range(VIEWERS // 2)]
    Session.objects.bulk_create(
        Session(session_key=key, session_data=copied.session_data, expire_date=copied.expire_date)
        for key in keys
    )
    return keys


def make_tokens(user: User) -> list[str]:
    expires_at = timezone.now() + timedelta(days=90)
    tokens = [
        ApiToken(user=user, name=f"Viewer {number}", scopes=["run:read"], expires_at=expires_at)
        for number in range(VIEWERS // 2)
    ]
    secrets = [token.set_new_secret() for token in tokens]
    ApiToken.objects.bulk_create(tokens)
    return secrets


def watch(port: int, all_viewers: list[Viewer], delays: list[float]) -> None:
    """Each viewer polls once per round, evenly spread.

    The first round, which fetches the existing lines, is not counted.
    """
    started = time.perf_counter()

    def poll(number: int) -> None:
        for round_number in range(ROUNDS + 1):
            for place in range(number, VIEWERS, CLIENT_THREADS):
                due = started + POLL_INTERVAL_SECONDS * (round_number + place / VIEWERS)
                time.sleep(max(0, due - time.perf_counter()))
                with closing(Connection(port)) as connection:
                    all_viewers[place].poll(connection)
                if round_number:
                    delays.append(time.perf_counter() - due)

    threads = [threading.Thread(target=poll, args=(number,)) for number in range(CLIENT_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
