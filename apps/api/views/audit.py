"""Audit log."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from apps.api.models import ApiToken
from apps.api.queries.audit_pagination import AuditPagination
from apps.api.queries.filters import AuditFilter
from apps.api.schema import problem_responses
from apps.api.serializers.audit import AuditEntrySerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.audit.models import AuditEvent
from apps.audit.trail import Filters


@extend_schema_view(
    list=extend_schema(
        summary="List the audit log, newest first",
        description="Needs the permission to view audit events, and a token without a limit to services.",
        responses={200: AuditEntrySerializer(many=True)} | problem_responses(400),
    )
)
class AuditViewSet(ApiView, ListModelMixin, GenericViewSet[AuditEvent]):
    """What users did, as far as the user of the token may see the services."""

    http_method_names = ["get", "head"]
    required = {"list": Requires(ApiToken.Scope.RUN_READ, ("audit.view_auditevent",))}
    queryset = AuditEvent.objects.none()
    serializer_class = AuditEntrySerializer
    pagination_class = AuditPagination
    filterset_class = AuditFilter

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if isinstance(request.auth, ApiToken) and request.auth.is_limited:
            raise PermissionDenied(_("The token is limited to services; the audit log contains more."))

    def get_filters(self) -> Filters:
        """What the request asks for."""
        return AuditFilter.filters_of(self.request.query_params)
