"""Download as CSV."""

import csv
import io

import pytest
from django.test import Client

from apps.runs.models import Record
from tests.factories import make_record, make_run, make_service, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


def download(client: Client, **query: object) -> bytes:
    return client.get("/admin/records/csv/", query).getvalue()


def rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_csv_contains_the_filtered_records_newest_first(staff: Client) -> None:
    run = make_run(make_service(slug="orders"))
    make_record(run, key="pushed")
    refused = make_record(run, key="ü, “x”", outcome=Record.Outcome.REFUSED, sequence=9, message="a\nb;c")
    later = make_record(make_run(run.service), key="ü, “x”")

    response = staff.get("/admin/records/csv/", {"outcome": "refused"})

    assert response["Content-Disposition"].startswith('attachment; filename="records-')
    data = response.getvalue()
    assert data.startswith(b"\xef\xbb\xbfkey,outcome,service,run,")
    assert rows(data)[1:] == [
        [
            *("ü, “x”", "refused", "orders", str(run.pk), "push", "1", "1", "a\nb;c", "9"),
            f"{refused.recorded_at:%Y-%m-%d %H:%M:%S}",
            str(later.run_id),
        ]
    ]
    assert [row[0] for row in rows(download(staff))[1:]] == ["ü, “x”", "ü, “x”", "pushed"]


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_cell_that_looks_like_a_formula_is_escaped(staff: Client, start: str) -> None:
    make_record(key=start, message=f"{start} again")

    row = rows(download(staff))[1]

    assert (row[0], row[7]) == (f"'{start}", f"'{start} again")


def test_invalid_filter_exports_nothing(staff: Client) -> None:
    make_record()

    assert len(rows(download(staff, outcome="lost"))) == 1
