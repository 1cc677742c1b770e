"""Links from log lines to records."""

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.runs.models import Level, Record, Run, Step
from tests.factories import make_log_entries, make_record, make_run, make_user

pytestmark = pytest.mark.django_db
Outcome = Record.Outcome


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


def lines(client: Client, run: Run) -> list[str]:
    html = client.get(f"/admin/runs/run/{run.pk}/log/feed/", {"after": 0}).json()["html"]
    return html.split("</li>")[:-1]


def link(key: str, query: str = "") -> str:
    return f'<a class="line-record" href="/admin/records/?key={query or key}">{key}</a>'


def test_key_in_the_text_of_a_script_is_a_link(staff: Client) -> None:
    run = make_run()
    for key in ("10045", "a/b", "100"):
        make_record(run, key=key, sequence=99)
    make_record(make_run(), key="777")
    make_log_entries(run, ["Page 1: 100 records pulled"], step=Step.PULL)
    make_log_entries(run, ["Order 10045. <b> (a/b): 777, 110045", "\x1b[1m10045"], step=Step.SCRIPT)
    make_log_entries(run, ["Record 10045 is skipped: run 100 has pushed it"], step=Step.PULL)

    counted, named, coloured, skipped = lines(staff, run)

    assert "line-record" not in counted + coloured
    assert f">Order {link('10045')}. &lt;b&gt; ({link('a/b', 'a%2Fb')}): 777, 110045<" in named
    assert f"Record {link('10045')} is skipped" in skipped


def test_refusal_lists_its_records(staff: Client) -> None:
    run = make_run()
    make_log_entries(run, ["1 record refused", "9 records refused", "Connection lost"], level=Level.ERROR)
    make_record(run, key="x", outcome=Outcome.REFUSED, sequence=1)
    for number in range(5):
        make_record(run, key=str(number), outcome=Outcome.REFUSED, sequence=2)
    make_record(run, key="y", outcome=Outcome.FAILED, sequence=3)
    make_record(run, key="z", sequence=3)

    one, several, failed = lines(staff, run)

    assert f'<div class="line-records">Refused: {link("x")}</div>' in one
    assert f"Refused: {link('0')}, {link('1')}, {link('2')}, <a href=" in several
    assert f'href="/admin/records/?run={run.pk}&amp;outcome=refused">and more</a>' in several
    assert f"Failed: {link('y')}</div>" in failed


@pytest.mark.parametrize("count", [1, 3])
def test_links_take_one_query_and_none_for_an_idle_poll(
    staff: Client, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    run = make_run(status=Run.Status.RUNNING)
    make_log_entries(run, [f"Order {number}" for number in range(count)], step=Step.SCRIPT)
    for number in range(count):
        make_record(run, key=str(number), outcome=Outcome.REFUSED, sequence=number + 1)
    url = f"/admin/runs/run/{run.pk}/log/feed/"

    # Session, user, run, lines, records; for an idle poll the first three.
    with django_assert_num_queries(5):
        html = staff.get(url, {"after": 0}).json()["html"]
    with django_assert_num_queries(3):
        staff.get(url, {"after": count})

    assert html.count("line-record") == count * 3
