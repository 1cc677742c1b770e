"""Metrics for monitoring."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from apps.api.models import ApiToken
from apps.api.schema import problem_responses
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.runs.monitoring.metrics import metrics_text


class MetricsView(ApiView):
    """Metrics over all services."""

    required = {"get": Requires(ApiToken.Scope.METRICS_READ, ("runs.view_run",))}

    @extend_schema(
        operation_id="v1_metrics",
        summary="Metrics for monitoring",
        description=(
            "In the text format of Prometheus: queued and running runs, the oldest waiting run, the lag "
            "of the payload deletion, the last run of each housekeeping job, and the health checks. They "
            "cover all services, so a token that is limited to services is refused."
        ),
        responses={(200, "text/plain"): str} | problem_responses(),
    )
    def get(self, request: Request) -> HttpResponse:
        if isinstance(request.auth, ApiToken) and request.auth.is_limited:
            raise PermissionDenied(
                _("Metrics cover all services; use a token that is not limited to services.")
            )
        return HttpResponse(
            metrics_text(),
            content_type="text/plain; version=0.0.4; charset=utf-8",
            headers={"Cache-Control": "no-store"},
        )
