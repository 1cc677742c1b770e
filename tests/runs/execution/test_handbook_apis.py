"""The services of the handbook's page about APIs, run against local servers."""

import json

import pytest

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import Run
from apps.services.definition.loading import load_services
from apps.services.models import Service
from tests.documents import code_blocks
from tests.services.apis import APIS, SECRETS
from tests.services.web import reply_json, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_folders")]
EXAMPLES = [text for name, text in code_blocks("yaml") if name.startswith("apis.md")]
ORDERS = [{"id": number, "at": f"2026-01-0{number}T00:00:00Z"} for number in range(1, 6)]


@pytest.mark.parametrize("slug", APIS)
def test_service_of_the_handbook_pulls_every_record(slug, monkeypatch):
    for variable, secret in SECRETS.items():
        monkeypatch.setenv(variable, secret)
    [example] = [text for text in EXAMPLES if f"  {slug}:" in text]
    load_services(example, filename="apis.md")
    service = Service.objects.select_related("source_connection", "destination_connection").get(slug=slug)

    with serving(APIS[slug](ORDERS)) as source, serving(lambda request: reply_json({}, 201)) as warehouse:
        for connection, web in (
            (service.source_connection, source),
            (service.destination_connection, warehouse),
        ):
            connection.url = web.url
            connection.save()
        run = execute_run(queue_run(service, trigger=Run.Trigger.MANUAL).pk, worker="test")

        request_count = len(source.requests)
        following = execute_run(queue_run(service, trigger=Run.Trigger.MANUAL).pk, worker="test")

    assert (run.status, run.error, run.pulled_count, run.pushed_count) == ("succeeded", "", 5, 5)
    assert request_count == 3
    # The start of the first run, or the last order again.
    assert (following.status, following.pulled_count) == ("succeeded", 0 if slug == "django-orders" else 1)
    pushed = [record for request in warehouse.requests[:3] for record in json.loads(request.body)]
    assert [record.get("id") or record["OrderID"] for record in pushed] == [1, 2, 3, 4, 5]


def test_every_example_is_run():
    assert [slug for slug in APIS if not any(f"  {slug}:" in text for text in EXAMPLES)] == []
    assert len(EXAMPLES) == len(APIS)
