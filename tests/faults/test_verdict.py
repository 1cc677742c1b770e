"""Verdicts on runs that keep the promises and on each way to break one."""

import pytest

from tests.faults.verdict import Ended, judge
from tests.faults.witness import Push

COUNT = 20


def pushes_of(*numbers: int) -> list[Push]:
    return [Push(number, f"synclog-1-1-{number}", at=number) for number in numbers]


def messages_of(count: int = COUNT) -> list[str]:
    address = "POST http://witness/destination: 201 Record"
    scripted = [f"record {number}" for number in range(1, count + 1)]
    pushed = [
        text
        for number in range(1, count + 1)
        for text in (f"{address} {number}, 12 bytes in 0.05 s", f"{address} {number}, 1 record accepted")
    ]
    return [*scripted, *pushed]


def numbered(messages: list[str]) -> list[tuple[int, str]]:
    return list(enumerate(messages, start=1))


def ended(line_count: int, **changed: object) -> Ended:
    values = {"is_complete": True, "lost_line_count": 0, "pushed_count": COUNT} | changed
    return Ended(status=str(values.pop("status", "succeeded")), line_count=line_count, **values)  # type: ignore[arg-type]


def test_judge_accepts_complete_run() -> None:
    lines = numbered(messages_of())

    verdict = judge(1, ended(len(lines)), lines, pushes_of(*range(1, COUNT + 1)))

    # Only a later push proves the lines of a push, so those of the last push are not witnessed.
    assert (verdict.witnessed, verdict.stored, verdict.lost, verdict.duplicates) == (58, 60, 0, 0)
    assert verdict.broken == []


@pytest.mark.parametrize("missing", ["record 7", "201 Record 7, 12 bytes", "201 Record 7, 1 record"])
def test_judge_counts_missing_line(missing: str) -> None:
    lines = numbered([message for message in messages_of() if missing not in message])

    verdict = judge(1, ended(len(lines)), lines, pushes_of(*range(1, COUNT + 1)))

    assert verdict.lost == 1
    assert verdict.broken == ["Run 1 lost 1 witnessed lines and reports 0"]


def test_judge_accepts_lost_line_that_run_reports() -> None:
    lines = numbered(messages_of()[1:])

    verdict = judge(
        1, ended(len(lines), lost_line_count=1, is_complete=False), lines, pushes_of(*range(1, COUNT + 1))
    )

    assert (verdict.lost, verdict.broken) == (1, [])


@pytest.mark.parametrize(
    ("lines", "outcome", "numbers", "message"),
    [
        ([*messages_of(), "record 20"], {}, range(1, 21), "holds 1 lines twice"),
        (messages_of()[::-1], {}, range(1, 21), "holds lines out of order"),
        (messages_of(), {"line_count": 3}, range(1, 21), "has 60 lines and reports 3"),
        (messages_of(), {"status": "running"}, range(1, 21), "is still running"),
        (messages_of(), {"lost_line_count": 2}, range(1, 21), "lost 2 lines and reports complete: True"),
        (messages_of(), {}, [*range(1, 21), 5], "pushed records out of order, as two workers would"),
        (
            messages_of(),
            {"pushed_count": 19},
            range(1, 21),
            "succeeded with 19 records pushed, and 20 arrived",
        ),
    ],
)
def test_judge_names_broken_promise(
    lines: list[str], outcome: dict[str, object], numbers: list[int], message: str
) -> None:
    row = ended(int(str(outcome.pop("line_count", len(lines)))), **outcome)

    verdict = judge(1, row, numbered(lines), pushes_of(*numbers))

    assert f"Run 1 {message}" in verdict.broken


def test_judge_reports_gap_in_numbering() -> None:
    lines = [(sequence + (sequence > 4), message) for sequence, message in numbered(messages_of())]

    verdict = judge(1, ended(len(lines)), lines, pushes_of(*range(1, COUNT + 1)))

    assert verdict.broken == ["Run 1 its lines are not numbered 1, 2, 3 …"]


def test_judge_accepts_retried_push() -> None:
    lines = numbered(messages_of())

    verdict = judge(1, ended(len(lines)), lines, pushes_of(1, 1, *range(2, COUNT + 1)))

    assert verdict.broken == []
