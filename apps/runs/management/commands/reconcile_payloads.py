from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from apps.runs.payloads.reconciliation import reconcile_payloads


class Command(BaseCommand):
    help = (
        "Compare the payload store with the database, as the scheduler does every day: delete objects that no row "
        "stands for (older than an hour) and uploads given up (older than a day), and mark rows whose object is "
        "gone as lost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what does not match, change nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        found = reconcile_payloads(timezone.now(), dry_run=dry_run)
        ends = ("would be deleted", "would be marked as lost") if dry_run else ("deleted", "marked as lost")
        self.stdout.write(
            f"{found.objects_without_row} objects without a row {ends[0]} ({found.failed} could not be), "
            f"{found.rows_without_object} rows without an object {ends[1]}, "
            f"{found.abandoned_uploads} abandoned uploads {ends[0]}, {found.stale_rows} stale rows settled."
        )
