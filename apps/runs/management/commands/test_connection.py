from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.runs.trial.connection_trial import try_connection
from apps.services.models import Connection


class Command(BaseCommand):
    help = (
        "Tests a connection on this host, one line a step, such as on a worker that has its own environment variables "
        "and certificates. The exit code is 1 if a step fails."
    )
    # The checks take longer than the command.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="name of the connection")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = Connection.objects.filter(name=options["name"]).first()
        if connection is None:
            names = ", ".join(Connection.objects.order_by("name").values_list("name", flat=True)[:20])
            raise CommandError(
                f"Unknown connection {options['name']!r}. Allowed: {names or 'none; add one first'}."
            )
        test = try_connection(connection, is_cancelled=lambda: False)
        for step in test.steps:
            self.stdout.write(f"{step.state.label}: {step.name.label}  {step.detail}".rstrip())
        if failed := test.failed_step:
            raise CommandError(f"Failed at {failed.name.label}. {failed.advice}".rstrip())
