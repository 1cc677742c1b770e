"""`manage.py sync SLUG`: runs a service in the foreground."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from apps.runs.execution.executor import execute_run
from apps.runs.execution.queue import queue_run
from apps.runs.models import Level, Run, Step
from apps.runs.tasks import worker_name
from apps.services.definition.options import RunOptions
from apps.services.models import Service

_COLOURS = {Level.DEBUG: "\x1b[2m", Level.INFO: "", Level.WARNING: "\x1b[33m", Level.ERROR: "\x1b[31m"}
_PLAIN = "\x1b[0m"
_CLEAR_LINE = "\r\x1b[K"


class Command(BaseCommand):
    help = (
        "Runs a service in the foreground and prints its log lines as they are logged. The exit code is 0"
        " only if the run succeeded."
    )
    # The checks take longer than the command.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="slug of the service")
        parser.add_argument(
            "--store",
            nargs="+",
            default=[],
            choices=["pull", "script", "push"],
            help="payloads to store until 24 hours after the run (PAYLOAD_RETENTION_HOURS)",
        )
        parser.add_argument("--dry-run", action="store_true", help="pull and run the script, push nothing")
        parser.add_argument(
            "--option",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help=f"option for this run only, may be repeated: {', '.join(RunOptions.model_fields)}",
        )

    def handle(
        self, *args: Any, slug: str, store: list[str], dry_run: bool, option: list[str], **rest: Any
    ) -> None:
        self._is_terminal = sys.stdout.isatty() and not rest["no_color"]
        self._started = self._progress_at = time.monotonic()
        service = Service.objects.filter(slug=slug).first()
        if service is None:
            slugs = ", ".join(Service.objects.order_by("slug").values_list("slug", flat=True)[:20])
            raise CommandError(
                f"Unknown service {slug!r}. Allowed: {slugs or 'none; see load_services --help'}."
            )
        try:
            run = queue_run(
                service,
                trigger=Run.Trigger.MANUAL,
                store=store,
                is_dry_run=dry_run,
                options=dict(_pair(text) for text in option),
            )
        except ValidationError as error:
            raise CommandError(
                "; ".join(f"{field}: {' '.join(reasons)}" for field, reasons in error.message_dict.items())
            ) from None
        self._run = run
        ended = execute_run(run.pk, worker=f"{worker_name()} (sync)", echo=self._show)
        if ended is None:
            raise CommandError(
                f"Run {run.pk} was claimed by another worker or lost. Its log is in the console."
            )
        if ended.status != Run.Status.SUCCEEDED:
            raise CommandError(
                f"Run {run.pk} {ended.get_status_display().lower()}: {ended.error or 'see its log'}"
            )

    def _show(self, created: float, level: Level, step: Step, message: str) -> None:
        at = datetime.fromtimestamp(created, UTC).strftime("%H:%M:%S.%f")[:-3]
        line = f"{at} {level.slug.upper():7} {step.slug:6} {message}"
        if self._is_terminal:
            line = f"{_CLEAR_LINE}{_COLOURS[level]}{line}{_PLAIN}"
        self.stdout.write(line)
        if self._is_terminal and step != Step.FINISH:
            self._show_progress()
        self.stdout.flush()

    def _show_progress(self) -> None:
        """Shows the counters of the run below the lines, at most once a second."""
        now = time.monotonic()
        if now - self._progress_at > 1:
            self._progress_at = now
            self._run.refresh_from_db(fields=["pulled_count", "pushed_count", "warning_count", "error_count"])
        run = self._run
        self.stdout.write(
            f"\x1b[2m… {now - self._started:.0f} s · {run.pulled_count:,} pulled · {run.pushed_count:,} pushed"
            f" · {run.warning_count:,} warnings · {run.error_count:,} errors{_PLAIN}",
            ending="",
        )


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--option {text!r} has no “=”; write KEY=VALUE, as in page_size=50.")
    return key.strip(), value.strip()
