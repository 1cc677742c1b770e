from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from apps.runs.payloads.reconciliation import reconcile_payloads


class Command(BaseCommand):
    help = (
        "Compares the payload store with the database, as the scheduler does every day: deletes objects "
        "without a row (older than an hour) and abandoned uploads (older than a day), and marks payloads "
        "without an object as lost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only report what differs")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        found = reconcile_payloads(timezone.now(), dry_run=dry_run)
        ends = ("would be deleted", "would be marked as lost") if dry_run else ("deleted", "marked as lost")
        self.stdout.write(
            f"{found.objects_without_row} objects without a row {ends[0]} ({found.failed} failed), "
            f"{found.rows_without_object} payloads without an object {ends[1]}, {found.abandoned_uploads} "
            f"abandoned uploads {ends[0]}, {found.stale_rows} stale rows updated."
        )
