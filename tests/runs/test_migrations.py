"""Migrations that change rows, on rows as the release before left them."""

import pytest
from django.core.management import call_command
from django.db import connection

from apps.runs.models import Payload
from tests.factories import make_payload


@pytest.mark.django_db(transaction=True)
def test_payloads_from_before_get_the_service_of_their_run():
    payloads = [make_payload(body=None) for _index in range(3)]

    call_command("migrate", "runs", "0004", verbosity=0)
    call_command("migrate", "runs", verbosity=0)

    services = dict(Payload.objects.values_list("pk", "service_id"))
    assert services == {payload.pk: payload.run.service_id for payload in payloads}
    if connection.vendor == "postgresql":
        assert counted_services() == 1000


def counted_services():
    """Of how many services PostgreSQL knows how many payloads they have."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstattarget FROM pg_attribute"
            " WHERE attrelid = 'runs_payload'::regclass AND attname = 'service_id'"
        )
        return cursor.fetchone()[0]
