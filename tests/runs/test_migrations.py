"""Data migrations, on rows of the previous release."""

import paramiko
import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.runs.models import Payload
from apps.services.models import HostKey
from tests.factories import make_connection, make_payload


@pytest.mark.django_db(transaction=True)
def test_data_migrations_keep_payloads_permissions_and_known_hosts(settings, tmp_path):
    """One test, and one plan back, because going back and forth takes seconds."""
    settings.DATA_DIR = tmp_path
    payloads = [make_payload(body=None) for _index in range(3)]
    make_connection(kind="file", url="sftp://hashed.example:2222/in")
    # A plain entry, and a hashed entry for the host of the connection.
    keys = [paramiko.ECDSAKey.generate() for _index in range(2)]
    hashed = paramiko.HostKeys.hash_host("[hashed.example]:2222")
    (tmp_path / "known_hosts").write_text(
        "# comment\n"
        f"plain.example {keys[0].get_name()} {keys[0].get_base64()}\n"
        f"{hashed} {keys[1].get_name()} {keys[1].get_base64()}\n"
    )

    permission = Permission.objects.get(codename="hold_run")
    Permission.objects.filter(pk=permission.pk).update(name="Old name")
    MigrationExecutor(connection).migrate([("runs", "0004_list_indexes"), ("services", "0009_query_auth")])
    # All apps, because going back unapplies the migrations of those that depend on them as well.
    call_command("migrate", verbosity=0)

    services = dict(Payload.objects.values_list("pk", "service_id"))
    assert services == {payload.pk: payload.run.service_id for payload in payloads}
    if connection.vendor == "postgresql":
        assert service_statistics_target() == 1000
    permission.refresh_from_db()
    assert permission.name == "Can hold runs (exclude them from deletion)"
    remembered = {row.host: (row.algorithm, row.key) for row in HostKey.objects.all()}
    assert remembered == {
        "plain.example": (keys[0].get_name(), keys[0].get_base64()),
        "[hashed.example]:2222": (keys[1].get_name(), keys[1].get_base64()),
    }


def service_statistics_target():
    """Returns the statistics target of the payloads' service column in PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstattarget FROM pg_attribute"
            " WHERE attrelid = 'runs_payload'::regclass AND attname = 'service_id'"
        )
        return cursor.fetchone()[0]
