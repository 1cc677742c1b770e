from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0006_texts'),
    ]

    operations = [
        migrations.RenameModel(old_name='Tick', new_name='HousekeepingJob'),
        migrations.RenameField(model_name='housekeepingjob', old_name='ticked_at', new_name='last_run_at'),
        migrations.AlterModelOptions(
            name='housekeepingjob',
            options={'verbose_name': 'housekeeping job', 'verbose_name_plural': 'housekeeping jobs'},
        ),
    ]
