from datetime import timedelta

from django.db import migrations, models
from django.db.models import F


def give_an_end(apps, schema_editor):
    """Tokens that were made without one live for a year from when they were made."""
    tokens = apps.get_model("api", "ApiToken").objects.filter(expires_at=None)
    tokens.update(expires_at=F("created_at") + timedelta(days=365))


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0002_token_services_outlive"),
    ]

    operations = [
        migrations.RunPython(give_an_end, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="apitoken",
            name="expires_at",
            field=models.DateTimeField(verbose_name="expires"),
        ),
    ]
