"""Looking through the whole log: read_limited in time and in hits, and honest about how far it came."""

import json

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.console.log import search as log_search
from apps.console.log.search import Search
from apps.runs.log.reading import LineFilter
from apps.runs.models import Level, Run, Step
from tests.factories import make_log_entries, make_payload, make_run, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user("ada", is_superuser=True))
    return client


@pytest.fixture
def run() -> Run:
    """30 lines; errors at 5, 15 and 25."""
    run = make_run()
    for _part in range(3):
        make_log_entries(run, 4)
        make_log_entries(run, ["It failed"], level=Level.ERROR, step=Step.PUSH)
        make_log_entries(run, 5)
    return run


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "SLICE_LINES", 3)


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch, small_slices: None) -> None:
    """Each search is late after its first slice."""
    monkeypatch.setattr(log_search, "MAX_SECONDS", -1.0)


def find(client: Client, run: Run, **query: object) -> dict:
    return client.get(f"/admin/runs/run/{run.pk}/log/find/", query).json()


@pytest.mark.parametrize("slice_lines", [1, 4, 1000])
def test_search_finds_the_same_whatever_its_slices(
    run: Run, monkeypatch: pytest.MonkeyPatch, slice_lines: int
) -> None:
    monkeypatch.setattr(log_search, "SLICE_LINES", slice_lines)
    errors = LineFilter(levels=[Level.ERROR])

    forwards = Search(run, errors).forwards(5, 10)
    backwards = Search(run, errors).backwards(25, 10)
    first = Search(run, errors).forwards(0, 1)
    hits = Search(run, errors).count()

    assert ([line.sequence for line in forwards.lines], forwards.is_done) == ([15, 25], True)
    assert ([line.sequence for line in backwards.lines], backwards.is_done) == ([5, 15], True)
    assert ([line.sequence for line in first.lines], first.reached, first.is_done) == ([5], 5, False)
    assert (hits.numbers, hits.is_done) == ([5, 15, 25], True)


def test_next_and_previous_hit(staff: Client, run: Run) -> None:
    assert find(staff, run, level="error", after=5)["line"] == 15
    assert find(staff, run, level="error", before=15)["line"] == 5
    assert find(staff, run, q="IT FAILED", after=0)["line"] == 5
    none = {"line": None, "is_done": True, "is_last": True}
    assert find(staff, run, level="error", after=25) == none | {"reached": 30}
    assert find(staff, run, level="error", before=5) == none | {"reached": 1}
    assert find(staff, run, level="error", after=99)["line"] is None


def test_hit_is_the_last_one_where_there_is_none_behind_it(
    staff: Client, run: Run, small_slices: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(staff, run, level="error", after=5)["is_last"] is False
    assert find(staff, run, level="error", after=15) == {
        "line": 25, "reached": 30, "is_done": True, "is_last": True,
    }  # fmt: skip
    assert find(staff, run, level="error", before=15)["is_last"] is True

    monkeypatch.setattr(log_search, "MAX_SECONDS", -1.0)

    # Nobody has looked so far.
    assert find(staff, run, level="error", after=24)["is_last"] is False


def test_hits_are_numbered_and_counted_no_further_than_a_thousand(
    staff: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(staff, run, q="failed") == {"hits": [5, 15, 25], "reached": 30, "is_done": True}

    monkeypatch.setattr(log_search, "MAX_MATCHES", 2)

    assert find(staff, run, q="failed") == {"hits": [5, 15], "reached": 15, "is_done": False}


def test_search_that_takes_too_long_says_where_it_stopped_and_goes_on_from_there(
    staff: Client, run: Run, no_time: None
) -> None:
    make_log_entries(run, ["needle"])

    answer = find(staff, run, q="needle", after=0)
    reached = [answer["reached"]]
    while answer["line"] is None and not answer["is_done"]:
        answer = find(staff, run, q="needle", after=answer["reached"])
        reached.append(answer["reached"])

    assert reached == [3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 31]
    assert answer["line"] == 31
    assert find(staff, run, q="needle") == {"hits": [], "reached": 3, "is_done": False}
    assert find(staff, run, q="Line", before=31)["line"] == 30


def test_filtered_page_that_takes_too_long_offers_to_look_on(staff: Client, run: Run, no_time: None) -> None:
    text = staff.get(f"/admin/runs/run/{run.pk}/log/", {"q": "nowhere"}).content.decode()
    answer = staff.get(f"/admin/runs/run/{run.pk}/log/feed/", {"q": "nowhere", "after": 0}).json()

    assert "No matches from line 28 to 30; more lines can be searched." in text
    assert 'href="?q=nowhere&amp;before=28"' in text
    assert (answer["count"], answer["cursor"], answer["poll_after"]) == (0, 3, 0)


def test_errors_are_not_looked_for_where_the_sealed_run_has_none(
    staff: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run = make_run()
    make_log_entries(run, 5)

    # Session, user, run.
    with django_assert_num_queries(3):
        answer = find(staff, run, level="error", after=0)
    assert answer == {"line": None, "reached": 5, "is_done": True, "is_last": True}


@pytest.mark.parametrize("count", [1, 3])
def test_search_costs_the_same_queries_whatever_it_finds(
    staff: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run = make_run()
    make_log_entries(run, count)

    # Session, user, run, one slice.
    with django_assert_num_queries(4):
        assert len(find(staff, run, q="line")["hits"]) == count


def test_search_needs_the_permission_to_see_the_run(client: Client, run: Run) -> None:
    client.force_login(make_user())

    assert client.get(f"/admin/runs/run/{run.pk}/log/find/").status_code == 403


def test_text_that_no_database_takes_is_taken_apart(staff: Client, run: Run) -> None:
    assert find(staff, run, q="It\x00 failed")["hits"] == [5, 15, 25]
    assert find(staff, run, q="100%_'\"\\")["hits"] == []


@pytest.mark.parametrize("form", ["text", "ndjson"])
def test_download_is_of_the_whole_log_or_as_filtered(staff: Client, run: Run, form: str) -> None:
    def numbers(**query: object) -> list[int]:
        response = staff.get(f"/admin/runs/run/{run.pk}/log/{form}/", query)
        lines = b"".join(response.streaming_content).decode().splitlines()
        return [
            json.loads(line)["sequence"] if form == "ndjson" else int(line.split("\t")[0]) for line in lines
        ]

    assert numbers() == list(range(1, 31))
    assert numbers(level=["error", "warning"]) == [5, 15, 25]
    assert numbers(step="push", q="failed") == [5, 15, 25]
    assert numbers(q="nowhere") == []


def test_ndjson_names_fields_and_files_as_the_api_does(staff: Client) -> None:
    run = make_run(store_pull=True)
    make_log_entries(run, ["two\nlines\t\u2028"])
    payload = make_payload(run, sequence=1)

    response = staff.get(f"/admin/runs/run/{run.pk}/log/ndjson/")
    [line] = b"".join(response.streaming_content).decode().removesuffix("\n").split("\n")

    document = json.loads(line)
    assert list(document) == ["sequence", "logged_at", "level", "step", "message", "payloads"]
    assert document["message"] == "two\nlines\t\u2028"
    assert document["payloads"][0]["id"] == str(payload.pk)
    assert response["Content-Disposition"] == f'attachment; filename="run-{run.pk}.ndjson"'


def test_message_of_several_lines_cannot_pass_for_lines_of_the_text(staff: Client, run: Run) -> None:
    make_log_entries(run, ["one\n32\t2026-01-01T00:00:00.000000Z\tERROR\tpush\tforged"])

    response = staff.get(f"/admin/runs/run/{run.pk}/log/text/")
    lines = b"".join(response.streaming_content).decode().splitlines()

    assert len([line for line in lines if not line.startswith("\t")]) == 31
    assert lines[-1].startswith("\t32\t")
