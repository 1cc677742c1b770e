"""Records: a refused record is found, sent again and resolved, by keyboard only."""

import json

import pytest
from playwright.sync_api import Page, expect

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import Run
from tests.browser.test_accessibility import focus_is_visible, tab_to
from tests.factories import make_record, make_user
from tests.systems import service_between, systems

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("own_folders"),
    pytest.mark.browser,
]


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the runs that wait for a worker."""
    waiting: list[int] = []
    monkeypatch.setattr("apps.runs.tasks.notify_workers", waiting.append)
    return waiting


def test_refused_record_is_resynced_with_the_keyboard(page: Page, log_in, worker: list[int]) -> None:
    with systems([{"id": number} for number in range(10041, 10047)]) as world:
        world.refused = [b'"id": 10045}']
        service = service_between(world, destination_options={"path": "/stock", "batch_size": 1})
        first = queue_run(service, trigger=Run.Trigger.MANUAL, store=["pull"])
        execute_run(first.pk, worker="test")
        world.refused = []
        log_in(page, make_user(is_superuser=True))
        keys = page.keyboard

        # From the refused count of the summary to the record, and to its place in the payload.
        page.goto(f"/admin/services/service/{service.pk}/runs/")
        tab_to(page, "1 refused")
        keys.press("Enter")
        page.wait_for_url("**/admin/records/?run=*&outcome=refused")
        tab_to(page, "Payloads that contain 10045")
        keys.press("ArrowDown")
        expect(page.get_by_role("link", name="pull-page-00001.json")).to_be_focused()
        keys.press("Enter")
        expect(page.locator("#record")).to_be_in_viewport()
        assert json.loads(page.locator("#record").inner_text().rstrip(",")) == {"id": 10045}
        page.go_back()

        # Select it and send it again.
        tab_to(page, f"Select 10045 of Run {first.pk}")
        assert focus_is_visible(page)
        keys.press("Space")
        expect(page.get_by_text("1 record selected")).to_be_visible()
        tab_to(page, "Resync", backwards=True)
        keys.press("Enter")
        expect(page.get_by_label("Stored pull payloads: the same bytes as before")).to_be_checked()
        tab_to(page, "Resync")
        keys.press("Enter")
        page.wait_for_url("**/log/")
        [again] = worker
        execute_run(again, worker="test")
        assert [json.loads(body) for body in world.received][6:] == [{"id": 10045}]

        # Its history shows the result.
        page.goto("/admin/records/")
        tab_to(page, "10045")
        keys.press("Enter")
        page.wait_for_url("**/admin/records/?key=10045")
        newest, oldest = page.locator(".history-entry").all()
        expect(newest).to_contain_text("Pushed in batch 1 of page 1")
        expect(oldest).to_contain_text("Refused in batch 5 of page 1")
        expect(oldest).to_contain_text(f"resolved by run {again}")


def test_checkbox_of_the_heading_selects_the_page(page: Page, log_in) -> None:
    for key in ("1", "2"):
        make_record(key=key, outcome=1)
    log_in(page, make_user(is_superuser=True))
    page.goto("/admin/records/")

    page.get_by_label("Select all records of this page").check()
    expect(page.get_by_text("2 records selected")).to_be_visible()
    page.get_by_label("Select 1 of").uncheck()
    expect(page.get_by_text("1 record selected")).to_be_visible()
