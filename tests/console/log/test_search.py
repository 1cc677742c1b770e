"""Search through the whole log, limited in time and matches; the response says how far it came."""

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
def no_search_time(monkeypatch: pytest.MonkeyPatch, small_slices: None) -> None:
    """Each search exceeds its time limit after the first slice."""
    monkeypatch.setattr(log_search, "MAX_SECONDS", -1.0)


def find(client: Client, run: Run, **query: object) -> dict:
    return client.get(f"/admin/runs/run/{run.pk}/log/find/", query).json()


@pytest.mark.parametrize("slice_lines", [1, 4, 1000])
def test_search_result_is_independent_of_slice_size(
    run: Run, monkeypatch: pytest.MonkeyPatch, slice_lines: int
) -> None:
    monkeypatch.setattr(log_search, "SLICE_LINES", slice_lines)
    errors = LineFilter(levels=[Level.ERROR])

    forwards = Search(run, errors).forwards(5, 10)
    backwards = Search(run, errors).backwards(25, 10)
    first = Search(run, errors).forwards(0, 1)
    matches = Search(run, errors).count()

    assert ([line.sequence for line in forwards.lines], forwards.is_done) == ([15, 25], True)
    assert ([line.sequence for line in backwards.lines], backwards.is_done) == ([5, 15], True)
    assert ([line.sequence for line in first.lines], first.reached, first.is_done) == ([5], 5, False)
    assert (matches.numbers, matches.is_done) == ([5, 15, 25], True)


def test_search_finds_next_and_previous_match(staff: Client, run: Run) -> None:
    assert find(staff, run, level="error", after=5)["line"] == 15
    assert find(staff, run, level="error", before=15)["line"] == 5
    assert find(staff, run, q="IT FAILED", after=0)["line"] == 5
    none = {"line": None, "is_done": True, "is_last": True}
    assert find(staff, run, level="error", after=25) == none | {"reached": 30}
    assert find(staff, run, level="error", before=5) == none | {"reached": 1}
    assert find(staff, run, level="error", after=99)["line"] is None


def test_search_reports_the_last_match(
    staff: Client, run: Run, small_slices: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(staff, run, level="error", after=5)["is_last"] is False
    assert find(staff, run, level="error", after=15) == {
        "line": 25, "reached": 30, "is_done": True, "is_last": True,
    }  # fmt: skip
    assert find(staff, run, level="error", before=15)["is_last"] is True

    monkeypatch.setattr(log_search, "MAX_SECONDS", -1.0)

    # The rest has not been searched.
    assert find(staff, run, level="error", after=24)["is_last"] is False


def test_match_numbers_are_limited(staff: Client, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(staff, run, q="failed") == {"matches": [5, 15, 25], "reached": 30, "is_done": True}

    monkeypatch.setattr(log_search, "MAX_MATCHES", 2)

    assert find(staff, run, q="failed") == {"matches": [5, 15], "reached": 15, "is_done": False}


def test_search_beyond_time_limit_can_be_continued(staff: Client, run: Run, no_search_time: None) -> None:
    make_log_entries(run, ["needle"])

    response = find(staff, run, q="needle", after=0)
    reached = [response["reached"]]
    while response["line"] is None and not response["is_done"]:
        response = find(staff, run, q="needle", after=response["reached"])
        reached.append(response["reached"])

    assert reached == [3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 31]
    assert response["line"] == 31
    assert find(staff, run, q="needle") == {"matches": [], "reached": 3, "is_done": False}
    assert find(staff, run, q="Line", before=31)["line"] == 30


def test_filtered_page_beyond_time_limit_offers_to_continue(
    staff: Client, run: Run, no_search_time: None
) -> None:
    text = staff.get(f"/admin/runs/run/{run.pk}/log/", {"q": "nowhere"}).content.decode()
    response = staff.get(f"/admin/runs/run/{run.pk}/log/feed/", {"q": "nowhere", "after": 0}).json()

    assert "No matches from line 28 to 30; more lines can be searched." in text
    assert 'href="?q=nowhere&amp;before=28"' in text
    assert (response["count"], response["cursor"], response["poll_after"]) == (0, 3, 0)


def test_search_skips_ended_run_without_matching_levels(
    staff: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run = make_run()
    make_log_entries(run, 5)

    # Session, user, run.
    with django_assert_num_queries(3):
        response = find(staff, run, level="error", after=0)
    assert response == {"line": None, "reached": 5, "is_done": True, "is_last": True}


@pytest.mark.parametrize("count", [1, 3])
def test_search_takes_a_constant_query_count(
    staff: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run = make_run()
    make_log_entries(run, count)

    # Session, user, run, one slice.
    with django_assert_num_queries(4):
        assert len(find(staff, run, q="line")["matches"]) == count


def test_search_requires_permission_to_view_run(client: Client, run: Run) -> None:
    client.force_login(make_user())

    assert client.get(f"/admin/runs/run/{run.pk}/log/find/").status_code == 403


def test_search_text_may_contain_nul_and_wildcards(staff: Client, run: Run) -> None:
    assert find(staff, run, q="It\x00 failed")["matches"] == [5, 15, 25]
    assert find(staff, run, q="100%_'\"\\")["matches"] == []


@pytest.mark.parametrize("form", ["text", "ndjson"])
def test_log_download_can_be_filtered(staff: Client, run: Run, form: str) -> None:
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


def test_ndjson_download_has_the_fields_of_the_api(staff: Client) -> None:
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


def test_multiline_message_cannot_forge_lines_of_text_download(staff: Client, run: Run) -> None:
    make_log_entries(run, ["one\n32\t2026-01-01T00:00:00.000000Z\tERROR\tpush\tforged"])

    response = staff.get(f"/admin/runs/run/{run.pk}/log/text/")
    lines = b"".join(response.streaming_content).decode().splitlines()

    assert len([line for line in lines if not line.startswith("\t")]) == 31
    assert lines[-1].startswith("\t32\t")
