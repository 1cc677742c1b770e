"""Verdicts on runs that keep the promises and on each way to break one."""

import pytest

from tests.faults.verdict import Counts, Ended, Outcome, StoredRecord, judge, judge_records
from tests.faults.witness import Push, is_dropped, is_refused

COUNT = 20
# The records that the script does not drop.
PUSHED = [number for number in range(1, COUNT + 1) if not is_dropped(number)]
ACCEPTED = [number for number in PUSHED if not is_refused(number)]


def pushes_of(*numbers: int) -> list[Push]:
    return [Push(number, f"synclog-1-1-{number}", at=number) for number in numbers]


def status_line(number: int) -> str:
    return f"POST http://witness/destination: {422 if is_refused(number) else 201} Record {number}"


def result_of(number: int) -> str:
    return "1 record refused: unknown sku" if is_refused(number) else "1 record accepted"


def messages_of(count: int = COUNT) -> list[str]:
    scripted = [f"record {number}" for number in range(1, count + 1)]
    pushed = [
        text
        for number in range(1, count + 1)
        if not is_dropped(number)
        for text in (
            f"{status_line(number)}, 12 bytes in 0.05 s",
            f"{status_line(number)}, {result_of(number)}",
        )
    ]
    return [*scripted, *pushed]


def numbered(messages: list[str]) -> list[tuple[int, str]]:
    return list(enumerate(messages, start=1))


def ended(line_count: int, **changed: object) -> Ended:
    values = {"is_complete": True, "lost_line_count": 0, "pushed_count": len(ACCEPTED)} | changed
    return Ended(status=str(values.pop("status", "succeeded")), line_count=line_count, **values)  # type: ignore[arg-type]


def test_judge_accepts_complete_run() -> None:
    lines = numbered(messages_of())

    verdict = judge(1, ended(len(lines)), lines, pushes_of(*PUSHED))

    # Only a later push proves the lines of a push, so those of the last push are not witnessed.
    assert verdict.lines == Counts(witnessed=54, stored=56)
    assert verdict.broken == []


@pytest.mark.parametrize("missing", ["record 7", "422 Record 7, 12 bytes", "422 Record 7, 1 record"])
def test_judge_counts_missing_line(missing: str) -> None:
    lines = numbered([message for message in messages_of() if missing not in message])

    verdict = judge(1, ended(len(lines)), lines, pushes_of(*PUSHED))

    assert verdict.lines.lost == 1
    assert verdict.broken == ["Run 1 lost 1 witnessed lines and reports 0"]


def test_judge_accepts_lost_line_that_run_reports() -> None:
    lines = numbered(messages_of()[1:])

    verdict = judge(1, ended(len(lines), lost_line_count=1, is_complete=False), lines, pushes_of(*PUSHED))

    assert (verdict.lines.lost, verdict.broken) == (1, [])


@pytest.mark.parametrize(
    ("lines", "outcome", "numbers", "message"),
    [
        ([*messages_of(), "record 20"], {}, PUSHED, "holds 1 lines twice"),
        (messages_of()[::-1], {}, PUSHED, "holds lines out of order"),
        (messages_of(), {"line_count": 3}, PUSHED, "has 56 lines and reports 3"),
        (messages_of(), {"status": "running"}, PUSHED, "is still running"),
        (messages_of(), {"lost_line_count": 2}, PUSHED, "lost 2 lines and reports complete: True"),
        (messages_of(), {}, [*PUSHED, 5], "pushed records out of order, as two workers would"),
        (
            messages_of(),
            {"pushed_count": 15},
            PUSHED,
            "succeeded with 15 records pushed, and 16 arrived",
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

    verdict = judge(1, ended(len(lines)), lines, pushes_of(*PUSHED))

    assert verdict.broken == ["Run 1 its lines are not numbered 1, 2, 3 …"]


def test_judge_accepts_retried_push() -> None:
    lines = numbered(messages_of())

    verdict = judge(1, ended(len(lines)), lines, pushes_of(1, *PUSHED))

    assert verdict.broken == []


def records_of(**changed: Outcome | None) -> list[StoredRecord]:
    """The records of a run, each with its line; `changed`, such as record_5=Outcome.FAILED, differ or are missing."""
    sequences = {message: sequence for sequence, message in numbered(messages_of())}
    records = []
    for number in range(1, COUNT + 1):
        outcome: Outcome | None = Outcome.REFUSED if is_refused(number) else Outcome.PUSHED
        sequence = sequences.get(f"{status_line(number)}, {result_of(number)}", 1)
        if is_dropped(number):
            outcome = Outcome.DROPPED
        outcome = changed.get(f"record_{number}", outcome)
        if outcome is not None:
            records.append(StoredRecord(number, outcome, "", sequence))
    return records


def test_judge_accepts_records_with_their_outcomes() -> None:
    verdict = judge_records(1, ended(56), records_of(), numbered(messages_of()), pushes_of(*PUSHED))

    assert (verdict.records, verdict.broken) == (Counts(20, 20), [])


@pytest.mark.parametrize(
    ("changed", "status", "message"),
    [
        ({"record_5": None}, "lost", "lost the records [5] and reports none"),
        ({"record_5": Outcome.FAILED}, "lost", "shows record 5 as FAILED: "),
        ({"record_20": Outcome.FAILED}, "lost", "shows record 20 as FAILED: "),
        ({"record_20": Outcome.PULLED}, "succeeded", "shows record 20 as PULLED: "),
        ({"record_5": Outcome.PULLED}, "lost", "shows record 5 as PULLED: "),
        ({"record_5": Outcome.DROPPED}, "lost", "shows record 5 as DROPPED: "),
        ({"record_7": Outcome.PUSHED}, "lost", "shows record 7 as PUSHED: "),
        ({"record_3": Outcome.PUSHED}, "lost", "shows record 3 as PUSHED: "),
    ],
)
def test_judge_names_untrue_outcome(changed: dict[str, Outcome | None], status: str, message: str) -> None:
    lines = numbered(messages_of())

    verdict = judge_records(1, ended(56, status=status), records_of(**changed), lines, pushes_of(*PUSHED))

    assert verdict.broken == [f"Run 1 {message}"]


def test_judge_names_record_at_the_line_of_another() -> None:
    first, second, *others = records_of()
    swapped = [first._replace(sequence=second.sequence), second, *others]

    verdict = judge_records(1, ended(56), swapped, numbered(messages_of()), pushes_of(*PUSHED))

    assert len(verdict.broken) == 1
    assert verdict.broken[0].startswith(f"Run 1 shows record 1 at line {second.sequence}: POST")


def test_judge_accepts_unknown_outcome_of_last_push() -> None:
    """And of a record that a resumed worker pushed, which is lost only if the run reports nothing."""
    lines = numbered(messages_of())
    records = records_of(record_19=Outcome.PULLED, record_20=Outcome.PULLED)
    pushes = pushes_of(*PUSHED)

    verdict = judge_records(1, ended(56, status="lost"), records, lines, pushes[:-1], later=pushes[-1:])

    assert verdict.broken == []


@pytest.mark.parametrize("number", [3, 5])
def test_judge_accepts_only_true_drops_without_a_push(number: int) -> None:
    """Record 3 is one that the script drops. A run that was cancelled before its first push may say so."""
    records = [StoredRecord(number, Outcome.DROPPED, "", 1)]

    verdict = judge_records(1, ended(1, status="cancelled"), records, [(1, "record")], [])

    assert verdict.broken == ([] if number == 3 else ["Run 1 shows record 5 as DROPPED: "])
