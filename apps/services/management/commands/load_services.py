"""`manage.py load_services`: connections and services from YAML files."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from apps.services.definition.loading import LoadError, LoadResult, load_services
from apps.services.models import Service
from apps.services.schedule import describe_schedule


class Command(BaseCommand):
    help = (
        "Creates or updates connections and services from YAML files, all or nothing. Loading the same file again "
        "changes nothing. Every error is reported with its line, key and reason."
    )
    # The checks take longer than the command.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "files", nargs="+", type=Path, metavar="FILE.yaml", help="YAML file; several may be given"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                results = [load_services(_text_of(path), filename=str(path)) for path in options["files"]]
        except LoadError as error:
            raise CommandError(f"Nothing was loaded.\n{error}") from None
        for result in results:
            self._report(result)

    def _report(self, result: LoadResult) -> None:
        for outcome in ("created", "updated", "unchanged"):
            for label in getattr(result, outcome):
                kind, _space, name = label.partition(" ")
                schedule = f", {_schedule_of(name)}" if kind == "service" else ""
                self.stdout.write(f"{label}: {outcome}{schedule}")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} cannot be read: its byte {error.start + 1} is not UTF-8.") from None


def _schedule_of(slug: str) -> str:
    service = Service.objects.get(slug=slug)
    if not service.schedule:
        return "without a schedule"
    state = "" if service.is_active else ", schedule off"
    return f"runs {describe_schedule(service.schedule)} ({service.timezone}){state}"
