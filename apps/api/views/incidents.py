"""Incident list and detail."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.viewsets import GenericViewSet

from apps.alerts.models import Incident
from apps.api.models import ApiToken
from apps.api.queries.alert_filters import IncidentFilter
from apps.api.queries.pagination import IncidentPagination
from apps.api.queries.visibility import visible_incidents
from apps.api.schema import problem_responses
from apps.api.serializers.incidents import IncidentSerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView

_READ = Requires(ApiToken.Scope.RUN_READ)


@extend_schema_view(
    list=extend_schema(
        summary="List incidents, newest first",
        description="What alert rules have found wrong. Services without rules have no incidents.",
        responses={200: IncidentSerializer(many=True)} | problem_responses(400),
    ),
    retrieve=extend_schema(
        summary="Get an incident", responses={200: IncidentSerializer} | problem_responses(404)
    ),
)
class IncidentViewSet(ApiView, ListModelMixin, RetrieveModelMixin, GenericViewSet[Incident]):
    """Incidents of the services that the token may see."""

    required = {"list": _READ, "retrieve": _READ}
    queryset = Incident.objects.none()
    serializer_class = IncidentSerializer
    pagination_class = IncidentPagination
    filterset_class = IncidentFilter

    def get_queryset(self) -> QuerySet[Incident]:
        return visible_incidents(self.request).select_related("service")
