"""Data migrations, on rows of the previous release.

Each test ends with the migrations of all apps, because going back unapplies those that depend on them as well.
"""

import paramiko
import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection

from apps.runs.models import Payload
from apps.services.models import HostKey
from tests.factories import make_connection, make_payload


@pytest.mark.django_db(transaction=True)
def test_migration_sets_service_of_existing_payloads():
    payloads = [make_payload(body=None) for _index in range(3)]

    call_command("migrate", "runs", "0004", verbosity=0)
    call_command("migrate", verbosity=0)

    services = dict(Payload.objects.values_list("pk", "service_id"))
    assert services == {payload.pk: payload.run.service_id for payload in payloads}
    if connection.vendor == "postgresql":
        assert service_statistics_target() == 1000


@pytest.mark.django_db(transaction=True)
def test_migration_renames_existing_permission_to_hold_runs():
    call_command("migrate", "runs", "0007", verbosity=0)
    permission = Permission.objects.get(codename="hold_run")
    Permission.objects.filter(pk=permission.pk).update(name="Old name")

    call_command("migrate", verbosity=0)

    permission.refresh_from_db()
    assert permission.name == "Can hold runs (exclude them from deletion)"


@pytest.mark.django_db(transaction=True)
def test_migration_takes_over_known_hosts(settings, tmp_path):
    """The key of a plain entry, and of a hashed entry for the host of a connection."""
    settings.DATA_DIR = tmp_path
    keys = [paramiko.ECDSAKey.generate() for _index in range(2)]
    hashed = paramiko.HostKeys.hash_host("[hashed.example]:2222")
    (tmp_path / "known_hosts").write_text(
        "# comment\n"
        f"plain.example {keys[0].get_name()} {keys[0].get_base64()}\n"
        f"{hashed} {keys[1].get_name()} {keys[1].get_base64()}\n"
    )
    make_connection(kind="file", url="sftp://hashed.example:2222/in")

    call_command("migrate", "services", "0009", verbosity=0)
    call_command("migrate", verbosity=0)

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
