"""Indexes of the history that Django's admin keeps, whose model belongs to Django."""

from django.db import migrations

# The page and pruning, the same by person, and the same by object; each ORDER BY action_time DESC, id DESC.
INDEXES = {
    'admin_log_audit_time': 'action_time, id',
    'admin_log_audit_user': 'user_id, action_time, id',
    'admin_log_audit_object': 'content_type_id, object_id, action_time, id',
}


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0001_initial'),
        ('admin', '0003_logentry_add_action_flag_choices'),
    ]

    operations = [
        migrations.RunSQL(
            f'CREATE INDEX {name} ON django_admin_log ({columns})',
            f'DROP INDEX {name}',
        )
        for name, columns in INDEXES.items()
    ]
