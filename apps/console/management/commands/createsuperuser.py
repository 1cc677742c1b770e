from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from apps.console.account.audit import recorded_command


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> Any:
        with recorded_command("createsuperuser"):
            return super().handle(*args, **options)
