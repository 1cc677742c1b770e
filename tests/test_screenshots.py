"""The sample data of the screenshots is consistent."""

import pytest
from django.db.models import Count, Q

from apps.runs.models import Level, Run
from tests.sample_data import make_sample

pytestmark = pytest.mark.django_db


def test_runs_with_logs_count_their_warnings_and_errors() -> None:
    make_sample()

    runs = Run.objects.filter(line_count__gt=0).annotate(
        warnings=Count("log_entries", filter=Q(log_entries__level=Level.WARNING)),
        errors=Count("log_entries", filter=Q(log_entries__level=Level.ERROR)),
    )
    counted = list(runs.values_list("status", "warning_count", "error_count").order_by("id"))
    assert counted == list(runs.values_list("status", "warnings", "errors").order_by("id"))
    assert sorted(counted) == [("failed", 0, 1), ("running", 1, 0)]
