from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0011_payload_digest'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='record',
            name='record_run_sequence',
        ),
        migrations.RemoveIndex(
            model_name='record',
            name='record_run_outcome',
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(fields=['run', 'sequence', 'page'], name='record_run_sequence'),
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(condition=models.Q(('outcome', 3), _negated=True), fields=['run', 'outcome', 'sequence', 'page'], name='record_run_outcome'),
        ),
    ]
