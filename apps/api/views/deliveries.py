"""Delivery list."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin
from rest_framework.viewsets import GenericViewSet

from apps.alerts.models import Delivery
from apps.api.models import ApiToken
from apps.api.queries.alert_filters import DeliveryFilter
from apps.api.queries.pagination import DeliveryPagination
from apps.api.queries.visibility import visible_deliveries
from apps.api.schema import problem_responses
from apps.api.serializers.deliveries import DeliverySerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView


@extend_schema_view(
    list=extend_schema(
        summary="List deliveries of alerts, newest first",
        description="Needs the permission to view deliveries.",
        responses={200: DeliverySerializer(many=True)} | problem_responses(400),
    )
)
class DeliveryViewSet(ApiView, ListModelMixin, GenericViewSet[Delivery]):
    """Messages about the services that the token may see, and test messages."""

    required = {"list": Requires(ApiToken.Scope.RUN_READ, ("alerts.view_delivery",))}
    queryset = Delivery.objects.none()
    serializer_class = DeliverySerializer
    pagination_class = DeliveryPagination
    filterset_class = DeliveryFilter

    def get_queryset(self) -> QuerySet[Delivery]:
        return visible_deliveries(self.request)
