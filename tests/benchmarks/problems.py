"""Problems: what an error line costs above an info line, from the logging call to the database."""

import logging
import time
from collections.abc import Iterator

from apps.runs.log.run_log import RunLog
from apps.runs.models import RunProblem
from tests.benchmarks.harness import Figure, benchmark, compare
from tests.benchmarks.logs import claimed_run

LINES = 50_000
# Texts that differ in more than numbers.
CAUSES = (
    "Order %d could not be pushed: connection to shop timed out after %.1f s",
    "%d records refused: unknown sku (%d)",
    'POST https://shop.example/orders/%d: 422 Unprocessable Entity: {"error": "unknown sku", "line": "%d"}',
    "orders-%d.csv, line %d: it has 4 columns, and 5 were expected",
)

logger = logging.getLogger("apps.services.connectors.http.push")


@benchmark("problem_cost_us", "µs/line", also={"problem_extra_us": "µs/line"})
def problem_cost() -> dict[str, Figure]:
    """An error line against an info line with the same text, from the call to the seal; then the difference."""
    cost = compare(lambda: _log(logging.ERROR), lambda: _log(logging.INFO), rounds=5)
    assert cost.reference is not None
    return {"problem_cost_us": cost, "problem_extra_us": Figure(cost.value - cost.reference)}


def _log(level: int) -> float:
    """Microseconds per line of a run."""
    run, token = claimed_run()
    messages = _messages()
    before = time.perf_counter()
    with RunLog(run, token) as log:
        for text, number in messages:
            logger.log(level, text, number, number)
        assert log.seal().is_complete
        log.remove_spool()
    seconds = time.perf_counter() - before
    expected = len(CAUSES) if level >= logging.WARNING else 0
    assert RunProblem.objects.filter(run=run).count() == expected
    return seconds / LINES * 1e6


def _messages() -> Iterator[tuple[str, int]]:
    return ((CAUSES[number % len(CAUSES)], number) for number in range(LINES))
