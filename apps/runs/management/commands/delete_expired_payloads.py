from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.runs.payloads.expiry import delete_expired_payloads


class Command(BaseCommand):
    help = (
        "Deletes expired payloads from the payload store, as the scheduler does every minute. The exit "
        "code is 1 if some could not be deleted; they are tried again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        deletion = delete_expired_payloads()
        self.stdout.write(f"{deletion.deleted} payloads deleted, {deletion.failed} failed.")
        if deletion.failed:
            raise CommandError("Some payloads could not be deleted; the console shows the reasons.")
