from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import OuterRef, Subquery


def copy_service(apps: Any, schema_editor: Any) -> None:
    run = apps.get_model("runs", "Run").objects.filter(pk=OuterRef("run_id"))
    apps.get_model("runs", "Payload").objects.update(service=Subquery(run.values("service_id")))


def count_services(apps: Any, schema_editor: Any) -> None:
    """Let PostgreSQL know of up to 1,000 services how many payloads each has, not of the 100 with most alone.

    It would take the others for equally frequent, and read all payloads, newest first, for the few of fifty
    services that are rarer than that.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE runs_payload ALTER COLUMN service_id SET STATISTICS 1000")


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0004_list_indexes'),
        ('services', '0003_access_version'),
    ]

    operations = [
        migrations.AddField(
            model_name='payload',
            name='service',
            field=models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='services.service', verbose_name='service'),
        ),
        migrations.RunPython(copy_service, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='payload',
            name='service',
            field=models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='services.service', verbose_name='service'),
        ),
        migrations.RunPython(count_services, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='payload',
            index=models.Index(fields=['service', '-created_at', '-id'], name='payload_service_latest'),
        ),
    ]
