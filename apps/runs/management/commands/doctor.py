from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.runs.monitoring.doctor import run_checks


class Command(BaseCommand):
    help = (
        "Check the database, the broker, the workers, the scheduler, the log spool of this host, the payload "
        "store, the clock and the expiry of payloads: one line each. The exit code is 1 if any check fails."
    )
    # It is there to say what is wrong, also where Django itself would refuse to go on.
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        findings = run_checks(is_thorough=True)
        for finding in findings:
            style = self.style.SUCCESS if finding.is_ok else self.style.ERROR
            word = style("ok    " if finding.is_ok else "FAILED")
            self.stdout.write(f"{word} {finding.label}: {finding.detail}")
        failed = [finding.label for finding in findings if not finding.is_ok]
        if failed:
            raise CommandError(f"Not well: {', '.join(failed)}.")
