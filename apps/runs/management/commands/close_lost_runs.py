from typing import Any

from django.core.management.base import BaseCommand

from apps.runs.recovery.lost_runs import close_lost_runs
from apps.runs.tasks import worker_name


class Command(BaseCommand):
    help = (
        "Closes runs whose worker died and stores all lines that they logged, as the scheduler does every"
        " 30 seconds."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{close_lost_runs(worker=worker_name())} lost runs closed.")
