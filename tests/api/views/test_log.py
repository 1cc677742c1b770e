"""Log of a run: pages while it grows, filters, and the whole log."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, Permission

from apps.runs.models import Level, Run, Step
from tests.api.conftest import body_of, client_of
from tests.factories import make_log_entries, make_payload, make_run, make_token, make_user

pytestmark = pytest.mark.django_db

MOMENT = datetime(2026, 11, 23, 7, 15, 9, 122456, tzinfo=UTC)


@pytest.fixture
def run(service):
    return make_run(service, status=Run.Status.RUNNING, store_pull=True)


def page_of(client, run, **parameters):
    response = client.get(f"/api/v1/runs/{run.pk}/log/", parameters)
    assert response.status_code == 200, response.json()
    return response.json()


def end(run):
    run.status, run.finished_at, run.is_complete = Run.Status.SUCCEEDED, MOMENT, True
    run.save()


def test_line_has_the_fields_of_the_contract(client, run):
    make_log_entries(run, ["Pulled page 1"], logged_at=MOMENT)
    payload = make_payload(run, b"abc", sequence=1)

    page = page_of(client, run)

    assert page == {
        "lines": [
            {
                "sequence": 1,
                "logged_at": "2026-11-23T07:15:09.123456Z",
                "level": "info",
                "step": "pull",
                "message": "Pulled page 1",
                "payloads": [
                    {
                        "id": str(payload.pk),
                        "kind": "pull",
                        "name": "page-1.json",
                        "size": 3,
                        "sha256": payload.sha256,
                        "status": "stored",
                        "expires_at": None,
                        "download_url": f"http://testserver/api/v1/payloads/{payload.pk}/download/",
                    }
                ],
            }
        ],
        "next_after": 1,
        "last_sequence": 1,
        "status": "running",
        "is_complete": False,
        "poll_after": 5,
    }


def test_empty_log_begins_at_zero(client, run):
    page = page_of(client, run)

    assert (page["lines"], page["next_after"], page["last_sequence"]) == ([], 0, 0)


def test_polling_skips_no_line_and_ends_with_the_run(client, run):
    sequences, after, polls = [], 0, []
    for step in range(4):
        make_log_entries(run, 3)
        if step == 3:
            end(run)
        while True:
            page = page_of(client, run, after=after, limit=2)
            sequences += [line["sequence"] for line in page["lines"]]
            after = page["next_after"]
            if after >= page["last_sequence"]:
                break
        polls.append(page["poll_after"])

    assert sequences == list(range(1, 13))
    assert polls == [5, 5, 5, None]


def test_polling_a_filtered_log_skips_and_repeats_no_line(client, run):
    make_log_entries(run, 3)
    make_log_entries(run, ["No stock"], level=Level.WARNING)
    make_log_entries(run, 3)

    first = page_of(client, run, level="warning")
    make_log_entries(run, ["No stock again"], level=Level.WARNING)
    second = page_of(client, run, level="warning", after=first["next_after"])

    assert ([line["sequence"] for line in first["lines"]], first["next_after"]) == ([4], 7)
    assert ([line["sequence"] for line in second["lines"]], second["next_after"]) == ([8], 8)


def test_polling_ends_for_an_incomplete_log(client, service):
    run = make_run(service, status=Run.Status.LOST, is_complete=False, lost_line_count=3)

    page = page_of(client, run)

    assert (page["is_complete"], page["poll_after"]) == (False, None)


def test_lines_are_filtered_by_level_step_and_text(client, run):
    make_log_entries(run, ["Pulled Order 10045"])
    make_log_entries(run, ["Order 10045 is odd"], level=Level.WARNING, step=Step.SCRIPT)
    make_log_entries(run, ["100% refused"], level=Level.ERROR, step=Step.PUSH)

    def sequences(**parameters):
        return [line["sequence"] for line in page_of(client, run, **parameters)["lines"]]

    assert sequences(level="warning,error") == [2, 3]
    assert sequences(level=["warning", "error"]) == [2, 3]
    assert sequences(step="push") == [3]
    assert sequences(step=["push", "pull"], level="info") == [1]
    assert sequences(q="ORDER 10045") == [1, 2]
    assert sequences(q="0%") == [3]
    assert sequences(q=" is ") == [2]
    assert sequences(level="", limit="", after="") == [1, 2, 3]


@pytest.mark.parametrize(
    ("form", "known"), [("log/", "level, step, q, after, limit"), ("log.txt", "level, step, q")]
)
def test_error_of_an_unknown_parameter_lists_the_known_ones(client, run, form, known):
    response = client.get(f"/api/v1/runs/{run.pk}/{form}?lvl=error")

    assert response.status_code == 400
    assert response.json()["errors"] == {"lvl": [f"Unknown name. Allowed: {known}."]}


@pytest.mark.parametrize(
    "kind", ["superuser", "own permissions", "group's permissions", "limited to the group"]
)
def test_idle_poll_costs_two_queries(run, kind, django_assert_num_queries):
    make_log_entries(run, 3)
    group = Group.objects.create(name="Support")
    group.permissions.set(Permission.objects.filter(codename__in=["view_service", "view_run"]))
    user = {
        "superuser": {"is_superuser": True},
        "own permissions": {"permissions": ["services.view_service", "runs.view_run"]},
    }.get(kind, {"groups": [group]})
    if kind == "limited to the group":
        run.service.groups.add(group)
    client = client_of(make_token(make_user(**user))[1])
    page_of(client, run)

    # Token and run; the line count of the run shows that nothing is new.
    with django_assert_num_queries(2):
        page = page_of(client, run, after=3)

    assert (page["lines"], page["next_after"], page["last_sequence"]) == ([], 3, 3)


@pytest.mark.parametrize("number", [1, 3])
def test_page_takes_the_same_queries_for_1_and_3_lines(client, run, number, django_assert_num_queries):
    make_log_entries(run, number)
    for sequence in range(1, number + 1):
        make_payload(run, sequence=sequence)

    # Token, run, lines, payloads.
    with django_assert_num_queries(4):
        page = page_of(client, run)

    assert sum(len(line["payloads"]) for line in page["lines"]) == number


@pytest.mark.parametrize(
    ("parameters", "field", "expected"),
    [
        ({"limit": "abc"}, "limit", "from 1 to 5000"),
        ({"limit": "5001"}, "limit", "from 1 to 5000"),
        ({"limit": "0"}, "limit", "from 1 to 5000"),
        ({"after": "-1"}, "after", "of at least 0"),
        ({"after": "1.5"}, "after", "of at least 0"),
        ({"after": "9" * 30}, "after", "of at least 0"),
        ({"after": "9" * 5000}, "after", "of at least 0"),
        ({"level": "loud"}, "level", "Allowed: debug, info, warning, error"),
        ({"level": ["info", "loud"]}, "level", "“loud”"),
        ({"step": "jump"}, "step", "Allowed: start, pull, script, push, finish"),
        ({"q": "a\x00b"}, "q", "Null"),
        ({"q": "x" * 501}, "q", "500"),
    ],
)
def test_invalid_parameter_is_400_with_the_valid_values(client, run, parameters, field, expected):
    response = client.get(f"/api/v1/runs/{run.pk}/log/", parameters)

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert expected in " ".join(response.json()["errors"][field])


def test_after_beyond_the_end_does_not_go_back(client, run):
    make_log_entries(run, 2)

    page = page_of(client, run, after=2**63 - 1)

    assert (page["lines"], page["next_after"], page["last_sequence"]) == ([], 2**63 - 1, 2)


def test_whole_log_as_text(client, run):
    make_log_entries(run, ["Pulled page 1: 100 records"], logged_at=MOMENT)
    make_log_entries(run, [""], logged_at=MOMENT, level=Level.WARNING, step=Step.SCRIPT)
    make_log_entries(
        run,
        ["Traceback:\n  line 1\r\n2026-11-23T07:15:09.123456Z INFO  pull   forged\x85\u2028…"],
        logged_at=MOMENT - timedelta(milliseconds=2),
        level=Level.ERROR,
        step=Step.FINISH,
    )

    response = client.get(f"/api/v1/runs/{run.pk}/log.txt")

    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Disposition"] == f'attachment; filename="run-{run.pk}-log.txt"'
    assert body_of(response).decode().split("\n") == [
        "2026-11-23T07:15:09.123456Z INFO  pull   Pulled page 1: 100 records",
        "2026-11-23T07:15:09.124456Z WARNING script ",
        "2026-11-23T07:15:09.123456Z ERROR finish Traceback:",
        "      line 1",
        "    2026-11-23T07:15:09.123456Z INFO  pull   forged",
        "    ",
        "    …",
        "",
    ]


def test_ndjson_has_the_same_lines_as_the_pages(client, run):
    make_log_entries(run, ["a\nb", "ü \x1b[31mred\x1b[0m"])
    make_payload(run, sequence=2)

    response = client.get(f"/api/v1/runs/{run.pk}/log.ndjson")
    lines = body_of(response).decode().removesuffix("\n").split("\n")

    assert response["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines] == page_of(client, run)["lines"]


@pytest.mark.parametrize("extension", ["txt", "ndjson"])
def test_whole_log_can_be_filtered_and_may_be_empty(client, run, extension):
    make_log_entries(run, 2)
    make_log_entries(run, ["Broken"], level=Level.ERROR)
    path = f"/api/v1/runs/{run.pk}/log.{extension}"

    assert body_of(client.get(path, {"level": "error"})).count(b"\n") == 1
    assert body_of(client.get(path, {"q": "nowhere"})) == b""
    assert client.get(path, {"level": "loud"}).status_code == 400


def test_whole_log_is_read_in_batches(client, run, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr("apps.runs.log.reading.MAX_LINES", 1000)
    make_log_entries(run, 2500)

    # The token, the run, three batches with their payloads, and the end.
    with django_assert_num_queries(9):
        response = client.get(f"/api/v1/runs/{run.pk}/log.txt")
        text = body_of(response)

    assert response.streaming
    assert text.count(b"\n") == 2500
