from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.runs.recovery.record_retention import prune_records


class Command(BaseCommand):
    help = (
        "Deletes the history of records whose run ended longer ago than RECORD_RETENTION_DAYS, as the scheduler "
        "does every hour. Held runs keep theirs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only report what would be deleted")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        pruning = prune_records(dry_run=dry_run)
        verb = "would be deleted" if dry_run else "deleted"
        self.stdout.write(f"{pruning.records} records of {pruning.runs} runs {verb}.")
