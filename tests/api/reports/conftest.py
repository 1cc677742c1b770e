"""Fixtures of the tests of reported runs."""

import pytest

from apps.runs.models import Run
from apps.services.models import Service
from tests.api.reports.requests import open_run
from tests.factories import make_service


@pytest.fixture
def nightly(db) -> Service:
    return make_service(
        slug="nightly",
        kind="reported",
        source_connection=None,
        destination_connection=None,
        source_options={},
        destination_options={},
    )


@pytest.fixture
def run(client, nightly) -> Run:
    return Run.objects.get(pk=open_run(client).json()["id"])
