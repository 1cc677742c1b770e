from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class RunsConfig(AppConfig):
    name = "apps.runs"

    def ready(self) -> None:
        # Here, because these modules import models, which are not loaded yet when this module is.
        from apps.audit.trail import register_kind, register_source
        from apps.runs import audit_entries

        register_kind(audit_entries.RUN)
        register_source(audit_entries.READS)
        connection_created.connect(end_abandoned_transactions)


def end_abandoned_transactions(connection: Any, **_signal: Any) -> None:
    """Lets PostgreSQL end the transaction of a process that is suspended: until then, its rows are locked."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = '30s'")
