from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.runs.monitoring.doctor import run_checks


class Command(BaseCommand):
    help = (
        "Checks the database, the broker, the workers, the scheduler, the log spool of this host, the payload "
        "store, the clock and the expiry of payloads, one line each. The exit code is 1 if a check fails."
    )
    # The command must run even if Django's own checks fail.
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        results = run_checks(is_thorough=True)
        for result in results:
            style = self.style.SUCCESS if result.is_ok else self.style.ERROR
            word = style("ok    " if result.is_ok else "FAILED")
            self.stdout.write(f"{word} {result.label}: {result.detail}")
        failed = [result.label for result in results if not result.is_ok]
        if failed:
            raise CommandError(f"Failed checks: {', '.join(failed)}.")
