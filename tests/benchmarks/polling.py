"""Delay until a log line is visible, and the rate of idle polls."""

import json
import logging
import random
import sys
import threading
import time
from contextlib import closing

from django.db import connection

from apps.runs.log.run_log import RunLog
from apps.runs.models import Run
from tests import factories
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.benchmarks.rows import make_staff
from tests.benchmarks.web import (
    Connection,
    Web,
    request_bytes,
    requests_per_second,
    session_headers,
    token_headers,
)

LINES_PER_SECOND = 1_000
SECONDS = 10
# Length of the log that is polled.
LOG_LINES = 1_000

logger = logging.getLogger("apps.services.connectors.http.pull")


@benchmark("visible_delay_p99_s", "s")
def visible_delay() -> Figure:
    """From the call of logger.info to the line in a response of the API, for 1,000 lines a second of one run.

    The client polls every 10 to 30 ms, so that the figure is the delay of the log and not of the polling.
    """
    run = factories.make_run(status=Run.Status.QUEUED)
    token = run.claim("benchmark")
    assert token is not None
    _token, secret = factories.make_token()
    logged_at: list[float] = []
    seen_at: list[float] = []
    with Web(workers=1) as web:
        reader = threading.Thread(target=_poll, args=(web.port, run.pk, secret, seen_at))
        reader.start()
        with RunLog(run, token) as log:
            _log(logged_at)
            log.seal()
            reader.join()
    delays = sorted(seen - logged for logged, seen in zip(logged_at, seen_at, strict=True))
    print(f"Half of the lines were visible after {delays[len(delays) // 2]:.3f} s", file=sys.stderr)
    return Figure(delays[int(len(delays) * 0.99)])


@benchmark("idle_poll_per_s", "requests/s")
def idle_poll() -> Figure:
    """Polls without new lines: the slower of the API with a token and the console with a session of ordinary staff.

    The reference is an empty view that requires a login. All under gunicorn with two workers; the client runs on the
    same cores.
    """
    run = factories.make_run(status=Run.Status.RUNNING)
    factories.make_log_entries(run, LOG_LINES)
    _token, secret = factories.make_token()
    session = session_headers(make_staff())
    with Web() as web:
        api = request_bytes(f"/api/v1/runs/{run.pk}/log/?after={LOG_LINES}", token_headers(secret))
        feed = f"/admin/runs/run/{run.pk}/log/feed/?after={LOG_LINES}"
        console = request_bytes(f"{feed}&version={_version(web.port, feed, session)}", session)
        empty = request_bytes("/bare/empty/", session)
        figures = {}
        for name, request in (("API", api), ("console", console)):
            figures[name] = compare(
                lambda request=request: requests_per_second(web.port, request, seconds=1.5),
                lambda: requests_per_second(web.port, empty, seconds=1.5),
                rounds=3,
            )
            print(f"Idle poll of the {name}: {figures[name]}", file=sys.stderr)
    return min(figures.values(), key=lambda figure: figure.value)


def _log(logged_at: list[float]) -> None:
    """Logs a line every millisecond and appends the time of each."""
    started = time.perf_counter()
    for number in range(LINES_PER_SECOND * SECONDS):
        time.sleep(max(0, started + number / LINES_PER_SECOND - time.perf_counter()))
        logged_at.append(time.perf_counter())
        logger.info("Pulled page %d: %d records from %s", number, 100, "https://shop.example/orders")


def _poll(port: int, run_id: int, secret: str, seen_at: list[float]) -> None:
    """Polls until all lines were received, and appends the time of each."""
    pauses = random.Random(1)
    with closing(Connection(port)) as client:
        while len(seen_at) < LINES_PER_SECOND * SECONDS:
            path = f"/api/v1/runs/{run_id}/log/?after={len(seen_at)}&limit=5000"
            status, body = client.send(request_bytes(path, token_headers(secret)))
            assert status == 200, body
            lines = json.loads(body)["lines"]
            first = len(seen_at) + 1
            assert [line["sequence"] for line in lines] == [*range(first, first + len(lines))]
            seen_at.extend([time.perf_counter()] * len(lines))
            time.sleep(pauses.uniform(0.01, 0.03))
    connection.close()


def _version(port: int, feed: str, session: dict[str, str]) -> str:
    """Version of the run status, which the page sends so that the feed leaves out what has not changed."""
    with closing(Connection(port)) as client:
        _status, body = client.send(request_bytes(feed, session))
    return str(json.loads(body)["version"])
