"""Fixtures for tests of runs."""

import pytest

from apps.runs.models import Run
from apps.services.models import Connection, Service


@pytest.fixture
def service(db):
    connection = Connection.objects.create(name="shop", kind="http", url="http://127.0.0.1:1")
    return Service.objects.create(
        slug="orders", name="Orders", source_connection=connection, destination_connection=connection
    )


@pytest.fixture
def run(service):
    return Run.objects.create(service=service, trigger=Run.Trigger.MANUAL)
