"""Search in the header: what it finds, when it redirects, and what it hides."""

import hashlib
import re
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.console.search import records
from apps.runs.models import Record, Run
from tests.factories import make_connection, make_payload, make_record, make_run, make_service, make_user

pytestmark = pytest.mark.django_db
STAFF = ("services.view_service", "services.view_connection", "runs.view_run", "runs.view_payload")
BODY = b'[{"id": 10045}]'
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(permissions=STAFF))
    return client


def search(client: Client, text: str) -> Any:
    return client.get("/admin/search/", {"q": text})


def found(client: Client, text: str) -> dict[str, list[str]]:
    """Names of the matches on the page, by group."""
    page = search(client, text).content.decode().partition('class="search-results"')[2]
    groups = re.findall(r'<section.*?<h2 id="(\w+)-title">(.*?)</section>', page, re.DOTALL)
    return {name: re.findall(r'class="row-name" href="[^"]*">(.*?)</a>', group) for name, group in groups}


# --- A single exact match redirects ---


def test_exact_match_redirects_to_its_page(staff: Client) -> None:
    run = make_run(make_service(slug="orders", name="Orders to warehouse"), store_pull=True)
    make_service(slug="orders-archive", name="Archive")
    make_record(run, key="A/1 ü")
    connection = make_connection(name="crm")
    payload = make_payload(run, BODY)

    pages = {
        str(run.pk): f"/admin/runs/run/{run.pk}/log/",
        f" #{run.pk} ": f"/admin/runs/run/{run.pk}/log/",
        "A/1 ü": "/admin/records/?key=A/1+ü",
        "orders": f"/admin/services/service/{run.service_id}/runs/",
        "ORDERS to Warehouse": f"/admin/services/service/{run.service_id}/runs/",
        "crm": f"/admin/services/connection/{connection.pk}/change/",
        DIGEST.upper(): f"/admin/runs/payload/{payload.pk}/change/",
    }

    assert {text: unquote(search(staff, text)["Location"]) for text in pages} == pages


def test_number_of_a_run_and_key_of_a_record_shows_both(staff: Client) -> None:
    run = make_run(make_service(name="Orders"), pk=987654)
    key = str(run.pk)
    make_record(run, key=key)
    make_record(make_run(pk=987655), key=key, outcome=Record.Outcome.REFUSED, message="unknown sku")

    page = search(staff, key).content.decode()

    assert found(staff, key) == {"runs": [f"Run {run.pk}"], "records": [key]}
    assert "in 2 runs · unknown sku" in page
    assert page.count("outcome-refused") == 1


def test_part_of_a_name_or_digest_does_not_redirect(staff: Client) -> None:
    run = make_run(make_service(name="Orders to warehouse", slug="o2w"))
    make_connection(name="warehouse-db")
    make_payload(run, BODY, name="page-1.json")

    assert found(staff, "WAREHOUSE") == {"services": ["Orders to warehouse"], "connections": ["warehouse-db"]}
    assert found(staff, DIGEST[:8]) == {"payloads": ["page-1.json"]}
    assert found(staff, DIGEST[:7]) == {}
    assert found(staff, DIGEST[:-1] + "g") == {}


# --- Records by key ---


def test_trailing_asterisk_finds_keys_that_begin_with_the_text(staff: Client) -> None:
    run = make_run()
    for key in ("100", "1004", "1004*x", "1005", "1004_", "1004%", "x1004", "10045\U0010fffe"):
        make_record(run, key=key)

    assert found(staff, "1004*") == {"records": ["1004", "1004%", "1004*x", "10045\U0010fffe", "1004_"]}
    assert found(staff, "1004%*") == {"records": ["1004%"]}
    assert found(staff, "10*4*") == found(staff, "*") == found(staff, "100%") == found(staff, "1_04") == {}
    assert search(staff, "1004*x")["Location"] == "/admin/records/?key=1004%2Ax"


def test_groups_are_limited_and_link_to_the_full_list(staff: Client) -> None:
    run = make_run(make_service(name="One"))
    for number in range(12):
        make_record(run, key=f"k{number:02}")
        make_service(name=f"Kiosk {number:02}")

    page = search(staff, "k*").content.decode()

    assert {kind: len(names) for kind, names in found(staff, "k*").items()} == {"records": 10, "services": 10}
    assert 'href="/admin/records/?key=k%2A">Show all of these records</a>' in page
    assert 'href="/admin/services/service/?q=k">Show all of these services</a>' in page


def test_runs_of_a_key_are_counted_up_to_a_limit(staff: Client) -> None:
    service = make_service()
    for _number in range(21):
        make_record(make_run(service), key="a1")

    assert "in more than 20 runs" in search(staff, "a*").content.decode()
    Run.objects.earliest("pk").records.all().delete()
    assert "in 20 runs" in search(staff, "a*").content.decode()


# --- Visibility ---


@pytest.fixture
def hidden(staff: Client) -> Run:
    """A run of another group's service, with a record, a payload and a connection."""
    finance = Group.objects.create(name="Finance")
    service = make_service(
        name="Payroll", groups=[finance], source_connection=make_connection(name="secret-bank")
    )
    run = make_run(service, store_pull=True)
    make_record(run, key="p-1", message="hidden reason")
    make_payload(run, BODY)
    return run


def test_search_finds_nothing_of_hidden_services(staff: Client, hidden: Run) -> None:
    for text in (str(hidden.pk), "p-1", "p-*", "payroll", "Payroll", "secret-bank", DIGEST, DIGEST[:10]):
        assert "Nothing found" in search(staff, text).content.decode(), text


def test_record_shows_the_latest_visible_run_and_counts_visible_runs(staff: Client, hidden: Run) -> None:
    visible = make_run(make_service(name="Orders"))
    make_record(visible, key="p-1", outcome=Record.Outcome.DROPPED)
    make_record(make_run(hidden.service), key="p-1", outcome=Record.Outcome.REFUSED)
    make_record(hidden, key="p-0")

    page = search(staff, "p*").content.decode()

    assert found(staff, "p*") == {"records": ["p-1"]}
    assert f"Run {visible.pk}</a> · in 1 run" in page
    assert "Dropped" in page
    assert "Payroll" not in page
    with patch.object(records, "_MAX_ROWS_READ", 200):
        # The work for hidden rows is limited: one row of each key.
        assert found(staff, "p*") == {}


def test_each_group_requires_the_permission_of_its_list(client: Client, hidden: Run) -> None:
    run = make_run(make_service(name="orders 31415926", slug="orders"), pk=31415926, store_pull=True)
    make_record(run, key="orders")
    # Without it, the run would be the only exact match.
    make_record(run, key="31415926")
    make_payload(run, b"orders")
    make_connection(name="orders-db")
    digest = hashlib.sha256(b"orders").hexdigest()[:10]

    groups = {}
    for permission in STAFF:
        client.force_login(make_user(permissions={"services.view_service", permission}))
        groups[permission] = {*found(client, "orders*"), *found(client, digest), *found(client, "31415926")}

    assert groups == {
        "services.view_service": {"services", "records"},
        "services.view_connection": {"services", "records", "connections"},
        "runs.view_run": {"services", "records", "runs"},
        "runs.view_payload": {"services", "records", "payloads"},
    }
    client.force_login(make_user(permissions=["runs.view_run", "runs.view_payload"]))
    assert found(client, "orders*") == found(client, digest) == {}


def test_search_requires_a_login(client: Client) -> None:
    assert search(client, "1")["Location"].startswith("/admin/login/")
    assert "search-box" not in client.get("/admin/login/").content.decode().partition("<body")[2]


# --- Input ---


def test_empty_search_explains_what_can_be_searched(staff: Client) -> None:
    make_service()

    for text in ("", "   "):
        page = search(staff, text)
        assert page.status_code == 200
        assert "a record by its key" in page.content.decode()
        assert "Nothing found" not in page.content.decode()


@pytest.mark.parametrize(
    "text",
    ["\0", "a\0b*", "%", "_", "**", "\\", "'", "😀*", "\udfff", "9" * 18, "9" * 64, "٣", "<b>", "x" * 1000],
)
def test_odd_texts_find_nothing(staff: Client, text: str) -> None:
    make_record(make_run(make_service(slug="orders", name="Orders")), key="1")

    response = search(staff, text.encode(errors="surrogatepass"))

    assert response.status_code == 200
    assert "Nothing found" in response.content.decode()
    assert "<b>" not in response.content.decode().partition("<main")[2]


def test_control_characters_are_compared_as_stored(staff: Client) -> None:
    make_record(make_run(), key="a␀b")

    assert unquote(search(staff, "a\0b")["Location"]) == "/admin/records/?key=a␀b"


def test_text_that_is_too_long_is_an_error(staff: Client) -> None:
    page = search(staff, "x" * 10_000).content.decode()

    assert "search for at most 1,000 characters" in page
    assert "x" * 1000 not in page


# --- Cost ---


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("is_limited", [False, True])
def test_search_takes_a_constant_query_count(
    client: Client, count: int, is_limited: bool, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_service(groups=[Group.objects.create(name="Finance")])
    client.force_login(make_user(permissions=STAFF, is_superuser=not is_limited))
    for number in range(count):
        run = make_run(make_service(name=f"12345678 {number}"), pk=12345678 + number, store_pull=True)
        make_connection(name=f"c-12345678-{number}")
        make_record(run, key="12345678")
        make_payload(run, None, sha256="12345678" * 8, created_at=timezone.now() - timedelta(number))

    # Session, user, runs, records, services, connections, payloads; a limited user takes one for visible services.
    with django_assert_num_queries(7 + is_limited):
        matches = found(client, "12345678")

    assert {kind: len(names) for kind, names in matches.items()} == {
        "runs": 1,
        "records": 1,
        "services": count,
        "connections": count,
        "payloads": count,
    }
