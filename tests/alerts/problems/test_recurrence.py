"""Problems follow from occurrences: created once, opened when they recur, muted until a time or a rate, pruned."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.alerts.models import Problem, ProblemChange
from apps.alerts.problems import recurrence
from apps.alerts.problems.changes import assign, set_note, set_state
from apps.alerts.problems.frequency import frequencies
from apps.alerts.problems.recurrence import Recurrence, note_occurrences
from apps.alerts.problems.retention import prune_problems
from apps.alerts.tasks import note_problems
from apps.runs.models import HousekeepingJob, RunProblem
from tests.factories import make_run, make_run_problem, make_service, make_user

pytestmark = pytest.mark.django_db
State, Action = Problem.State, ProblemChange.Action


@pytest.fixture
def opened(monkeypatch):
    """The alerts about problems."""
    received = []
    monkeypatch.setattr(
        recurrence,
        "problem_event",
        lambda service, kind, title, url: received.append((title, kind)),
    )
    return received


def make_problem(message="Customer 17 has no address", **fields):
    now = timezone.now()
    row = make_run_problem(
        message=message, first_at=now - timedelta(hours=2), last_at=now - timedelta(hours=1)
    )
    note_occurrences(now)
    problem = Problem.objects.get(service=row.service)
    for name, value in fields.items():
        setattr(problem, name, value)
    problem.save()
    return problem


def recur(problem, *, minutes_ago=0, count=1):
    moment = timezone.now() - timedelta(minutes=minutes_ago)
    make_run_problem(make_run(problem.service), problem.title, count=count, first_at=moment, last_at=moment)
    result = note_occurrences(timezone.now())
    problem.refresh_from_db()
    return result


def actions(problem):
    return list(problem.changes.order_by("pk").values_list("action", flat=True))


def test_occurrences_in_several_runs_are_one_problem(opened):
    service, now = make_service(), timezone.now()
    first = make_run_problem(make_run(service), "Customer 1 has no address", level=30)
    last = make_run_problem(make_run(service), "Customer 2 has no address")
    elsewhere = make_run_problem(message="Customer 3 has no address")

    assert note_occurrences(now) == Recurrence(created=2)
    assert note_occurrences(now) == Recurrence()

    problem = Problem.objects.get(service=service)
    assert (problem.title, problem.state, problem.level) == ("Customer 1 has no address", "open", 40)
    assert (problem.first_seen_at, problem.last_seen_at) == (first.first_at, last.last_at)
    assert Problem.objects.get(service=elsewhere.service) != problem
    assert opened == [("Customer 1 has no address", "new"), ("Customer 3 has no address", "new")]
    assert not RunProblem.objects.unnoted().exists()


def test_resolved_problem_reopens_when_it_recurs(opened):
    problem = make_problem()
    set_state(problem, State.RESOLVED, user=None, now=timezone.now() - timedelta(minutes=30))

    assert recur(problem) == Recurrence(reopened=1)

    assert (problem.state, problem.is_reopened, problem.resolved_at) == ("open", True, None)
    assert actions(problem) == ["resolved", "recurred"]
    assert opened[1:] == [("Customer 17 has no address", "reopened")]


def test_lines_from_before_the_resolution_do_not_reopen_it():
    problem = make_problem()
    set_state(problem, State.RESOLVED, user=None, now=timezone.now())

    assert recur(problem, minutes_ago=30) == Recurrence()
    assert problem.state == "resolved"


def test_muted_problem_stays_muted_until_its_time():
    problem = make_problem()
    until = timezone.now() + timedelta(days=1)
    set_state(problem, State.MUTED, user=None, now=timezone.now(), muted_until=until)

    assert recur(problem, count=1000) == Recurrence()
    assert problem.state == "muted"

    assert note_occurrences(until) == Recurrence(reopened=1)
    problem.refresh_from_db()
    assert (problem.state, problem.muted_until, actions(problem)) == ("open", None, ["muted", "unmuted"])


def test_muted_problem_opens_above_its_rate():
    problem = make_problem()
    set_state(problem, State.MUTED, user=None, now=timezone.now(), muted_rate=10)

    assert (recur(problem, count=9), problem.state) == (Recurrence(), "muted")
    assert (recur(problem, count=2), problem.state) == (Recurrence(reopened=1), "open")
    assert actions(problem) == ["muted", "rate"]


def test_run_that_logs_more_meanwhile_is_noted_again(monkeypatch):
    row = make_run_problem()
    noted = Problem.objects.get_or_create

    def log_more(**arguments):
        RunProblem.objects.filter(pk=row.pk).update(last_sequence=9, count=2)
        return noted(**arguments)

    monkeypatch.setattr(Problem.objects, "get_or_create", log_more)
    note_occurrences(timezone.now())

    assert RunProblem.objects.unnoted().count() == 1


def test_changes_are_recorded_with_user_and_value():
    problem, user, now = make_problem(), make_user("ada"), timezone.now()

    assert assign(problem, user, user=user, now=now)
    assert not assign(problem, user, user=user, now=now)
    assert set_note(problem, "Ask the shop", user=user, now=now)
    assert not set_note(problem, "Ask the shop", user=user, now=now)
    assert set_state(problem, State.MUTED, user=user, now=now, muted_rate=1200)
    assert set_state(problem, State.OPEN, user=user, now=now)
    assert not set_state(problem, State.OPEN, user=user, now=now)

    assert list(problem.changes.order_by("pk").values_list("action", "detail", "user__username")) == [
        ("assigned", "ada", "ada"),
        ("noted", "Ask the shop", "ada"),
        ("muted", "1,200 / h", "ada"),
        ("reopened", "", "ada"),
    ]


def test_frequency_counts_lines_and_runs_by_day(django_assert_num_queries):
    problem, other, now = make_problem(), make_problem("Order 3 is late"), timezone.now()
    yesterday = now - timedelta(days=1)
    make_run_problem(make_run(problem.service), problem.title, count=5, first_at=yesterday, last_at=yesterday)

    with django_assert_num_queries(1):
        found = frequencies([problem, other], 7, now)

    assert found[problem.pk].line_count == 6
    assert found[problem.pk].run_count == 2
    assert len(found[problem.pk].days) == 7
    assert found[other.pk].line_count == 1


def test_problems_without_occurrences_are_pruned_unless_users_count_on_them():
    now, user = timezone.now(), make_user()
    forgotten = make_problem("Cause a")
    kept = [
        make_problem("Cause b", assignee=user),
        make_problem("Cause c", note="look"),
        make_problem("Cause d", state=State.MUTED),
    ]
    RunProblem.objects.all().delete()
    kept.append(make_problem("Cause e"))

    assert prune_problems(now + timedelta(minutes=1)) == 1

    assert set(Problem.objects.all()) == set(kept)
    assert forgotten.pk


def test_housekeeping_records_what_it_did():
    make_run_problem()

    note_problems()

    assert HousekeepingJob.objects.get(name="note_problems").outcome == {"created": 1, "reopened": 0}
    assert Problem.objects.count() == 1


def test_failing_alerts_do_not_keep_problems_from_being_recorded(monkeypatch, caplog):
    make_run_problem()

    def fail(*_arguments):
        Problem.objects.get(pk=-1)

    monkeypatch.setattr(recurrence, "problem_event", fail)
    assert note_occurrences(timezone.now()) == Recurrence(created=1)

    assert "its alerts could not be created" in caplog.text
