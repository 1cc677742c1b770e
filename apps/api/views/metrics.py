"""How Synclog does as a whole, for the monitoring of operators."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from apps.api.models import ApiToken
from apps.api.permissions import Needs
from apps.api.schema import answers
from apps.api.views.base import ApiView
from apps.runs.monitoring.metrics import metrics_text


class MetricsView(ApiView):
    """Figures over all services, which they do not name."""

    needs = {"get": Needs(ApiToken.Scope.METRICS_READ, ("runs.view_run",))}

    @extend_schema(
        operation_id="v1_metrics",
        summary="Figures for monitoring",
        description=(
            "In the text format of Prometheus: runs that are queued and running, how long the oldest waits, how far "
            "the deletion of expired payloads lags behind, when each job was last done, and what the doctor finds. "
            "They are totals over all services, so a token that is for some services only is refused."
        ),
        responses={(200, "text/plain"): str} | answers(),
    )
    def get(self, request: Request) -> HttpResponse:
        if isinstance(request.auth, ApiToken) and request.auth.is_limited:
            raise PermissionDenied(_("These are figures of all services, and the token is for some only."))
        return HttpResponse(
            metrics_text(),
            content_type="text/plain; version=0.0.4; charset=utf-8",
            headers={"Cache-Control": "no-store"},
        )
