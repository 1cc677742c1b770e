from django.db import migrations, models


def mark_rules_for_all(apps, schema_editor):
    apps.get_model("alerts", "Rule").objects.filter(services=None).update(is_for_all=True)


class Migration(migrations.Migration):
    dependencies = [("alerts", "0005_remaining_addresses")]

    operations = [
        migrations.AddField(
            model_name="rule",
            name="is_for_all",
            field=models.BooleanField(default=False, editable=False, verbose_name="all services"),
        ),
        migrations.RunPython(mark_rules_for_all, migrations.RunPython.noop),
    ]
