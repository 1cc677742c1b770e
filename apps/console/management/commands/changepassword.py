from typing import Any

from django.contrib.auth.management.commands import changepassword

from apps.console.account.audit import recorded_command


class Command(changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> Any:
        with recorded_command("changepassword"):
            return super().handle(*args, **options)
