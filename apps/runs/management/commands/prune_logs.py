from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.runs.recovery.retention import prune_logs


class Command(BaseCommand):
    help = (
        "Deletes runs and logs that ended longer ago than LOG_RETENTION_DAYS, as the scheduler does every"
        " hour. A run stays while one of its payloads is in the payload store."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only report what would be deleted")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        pruning = prune_logs(settings.LOG_RETENTION, dry_run=dry_run)
        verb = "would be deleted" if dry_run else "deleted"
        self.stdout.write(f"{pruning.runs} runs and {pruning.lines} log lines {verb}.")
