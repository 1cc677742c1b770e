from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.audit.retention import prune_audit_log


class Command(BaseCommand):
    help = "Deletes audit entries that are older than AUDIT_RETENTION_DAYS, as the scheduler does every hour."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{prune_audit_log(settings.AUDIT_RETENTION)} entries deleted.")
