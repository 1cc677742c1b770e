from typing import Any

from django.core.management.base import BaseCommand

from apps.runs.recovery.lost_runs import close_lost_runs
from apps.runs.tasks import worker_name


class Command(BaseCommand):
    help = (
        "End the runs whose worker died, with every line that it had logged, "
        "as the scheduler does every 30 seconds."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{close_lost_runs(worker=worker_name())} lost runs closed.")
