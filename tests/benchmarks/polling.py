"""How soon a line can be read, and how many readers may ask for more."""

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

LINES_A_SECOND = 1_000
SECONDS = 10
# Of lines that a run has which is looked at and has nothing new to say.
LINES_THERE = 1_000

logger = logging.getLogger("apps.services.connectors.http.connector")


@benchmark("visible_delay_p99_s", "s")
def visible_delay() -> Figure:
    """From the call of logger.info to the line in an answer of the API, for 1,000 lines a second of one run.

    The reader asks again as soon as 20 ms after it was answered, so that it is the log's delay that is measured.
    """
    run = factories.make_run(status=Run.Status.QUEUED)
    token = run.claim("benchmark")
    assert token is not None
    _token, secret = factories.make_token()
    said: list[float] = []
    seen: list[float] = []
    with Web(workers=1) as web:
        reader = threading.Thread(target=_read, args=(web.port, run.pk, secret, seen))
        reader.start()
        with RunLog(run, token) as log:
            _log(said)
            log.seal()
            reader.join()
    delays = sorted(shown - said_at for said_at, shown in zip(said, seen, strict=True))
    print(f"Half of the lines were visible after {delays[len(delays) // 2]:.3f} s", file=sys.stderr)
    return Figure(delays[int(len(delays) * 0.99)])


@benchmark("idle_poll_per_s", "requests/s")
def idle_poll() -> Figure:
    """The slower of two polls that bring nothing new, of the API with a token and of the console with a session.

    The console's is that of ordinary staff. Both, and an empty view that knows who asks, under gunicorn with two
    workers; the client is on the same cores.
    """
    run = factories.make_run(status=Run.Status.RUNNING)
    factories.make_log_entries(run, LINES_THERE)
    _token, secret = factories.make_token()
    session = session_headers(make_staff())
    with Web() as web:
        api = request_bytes(f"/api/v1/runs/{run.pk}/log/?after={LINES_THERE}", token_headers(secret))
        feed = f"/admin/runs/run/{run.pk}/log/feed/?after={LINES_THERE}"
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


def _log(said: list[float]) -> None:
    """A line a millisecond, each said at a moment that is noted."""
    began = time.perf_counter()
    for number in range(LINES_A_SECOND * SECONDS):
        if (early := began + number / LINES_A_SECOND - time.perf_counter()) > 0:
            time.sleep(early)
        said.append(time.perf_counter())
        logger.info("Pulled page %d: %d records from %s", number, 100, "https://shop.example/orders")


def _read(port: int, run_id: int, secret: str, seen: list[float]) -> None:
    """Asks until all lines were seen, and notes when each came."""
    pauses = random.Random(1)
    with closing(Connection(port)) as asked:
        while len(seen) < LINES_A_SECOND * SECONDS:
            path = f"/api/v1/runs/{run_id}/log/?after={len(seen)}&limit=5000"
            status, body = asked.ask(request_bytes(path, token_headers(secret)))
            assert status == 200, body
            lines = json.loads(body)["lines"]
            assert [line["sequence"] for line in lines] == [*range(len(seen) + 1, len(seen) + len(lines) + 1)]
            seen.extend([time.perf_counter()] * len(lines))
            time.sleep(pauses.uniform(0.01, 0.03))
    connection.close()


def _version(port: int, feed: str, session: dict[str, str]) -> str:
    """What the page sends along, so that the feed leaves out what has not changed."""
    with closing(Connection(port)) as asked:
        _status, body = asked.ask(request_bytes(feed, session))
    return str(json.loads(body)["version"])
