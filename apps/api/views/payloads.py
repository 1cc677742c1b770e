"""Payload list and detail."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.viewsets import GenericViewSet

from apps.api.models import ApiToken
from apps.api.queries.filters import PayloadFilter
from apps.api.queries.pagination import PayloadPagination
from apps.api.queries.visibility import visible_payloads
from apps.api.schema import problem_responses
from apps.api.serializers.payloads import PayloadSerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.runs.models import Payload

_READ = Requires(ApiToken.Scope.PAYLOAD_READ, ("runs.view_payload", "runs.download_payload"))


@extend_schema_view(
    list=extend_schema(
        summary="List payloads",
        description="Newest first; the payloads of one run in the order of the log.",
        responses={200: PayloadSerializer(many=True)} | problem_responses(400),
    ),
    retrieve=extend_schema(
        summary="Get a payload", responses={200: PayloadSerializer} | problem_responses(404)
    ),
)
class PayloadViewSet(ApiView, ListModelMixin, RetrieveModelMixin, GenericViewSet[Payload]):
    """Payloads of the services that the token may see."""

    required = {"list": _READ, "retrieve": _READ}
    queryset = Payload.objects.none()
    serializer_class = PayloadSerializer
    pagination_class = PayloadPagination
    filterset_class = PayloadFilter

    def get_queryset(self) -> QuerySet[Payload]:
        return visible_payloads(self.request)
