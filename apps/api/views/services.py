"""Service list and detail, and the start of runs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from apps.api.models import ApiToken
from apps.api.queries.pagination import ServicePagination
from apps.api.queries.visibility import visible_services
from apps.api.schema import problem_responses
from apps.api.serializers.runs import RunSerializer, StartSerializer
from apps.api.serializers.services import ServiceSerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.api.views.idempotency import IDEMPOTENCY_PARAMETER, idempotency_key, key_reused
from apps.runs.execution.queue import checked_options
from apps.runs.models import Run
from apps.runs.reported.reporting import open_reported_run
from apps.runs.tasks import start_run
from apps.services.models import Service


@extend_schema_view(
    list=extend_schema(
        summary="List services", responses={200: ServiceSerializer(many=True)} | problem_responses(400)
    ),
    retrieve=extend_schema(
        summary="Get a service", responses={200: ServiceSerializer} | problem_responses(404)
    ),
)
class ServiceViewSet(ApiView, ListModelMixin, RetrieveModelMixin, GenericViewSet[Service]):
    """Services that the token may see."""

    required = {
        "list": Requires(ApiToken.Scope.RUN_READ),
        "retrieve": Requires(ApiToken.Scope.RUN_READ),
        "start": Requires(ApiToken.Scope.RUN_START, ("runs.start_run",), or_scope=ApiToken.Scope.RUN_REPORT),
    }
    queryset = Service.objects.none()
    serializer_class = ServiceSerializer
    pagination_class = ServicePagination
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Service]:
        return visible_services(self.request).select_related("source_connection", "destination_connection")

    def scope_for(self, service: Service) -> ApiToken.Scope:
        """Scope that starts a run of this service."""
        if service.is_reported:
            return ApiToken.Scope.RUN_REPORT
        return ApiToken.Scope.RUN_START

    @extend_schema(
        summary="Start a run",
        description=(
            "For a service of kind `reported` (scope `run:report`) this opens a running run, which the "
            "caller reports; `store` and `options` are not allowed. For other services (scope "
            "`run:start`) it queues a run, even if the schedule is off. With the header `Idempotency-Key`"
            " the request can be repeated: the same key of the same user and service returns the same "
            "run, or 422 if the body differs."
        ),
        request=StartSerializer,
        parameters=[
            IDEMPOTENCY_PARAMETER,
            OpenApiParameter(
                "Location",
                {"type": "string", "format": "uri"},
                OpenApiParameter.HEADER,
                response=[201, 202],
                description="URL of the run.",
            ),
        ],
        responses={
            201: OpenApiResponse(RunSerializer, "The run of a reported service is running."),
            202: OpenApiResponse(RunSerializer, "The run is queued."),
        }
        | problem_responses(400, 404, 411, 413, 415, 422),
    )
    def start(self, request: Request, slug: str) -> Response:
        service = self.get_object()
        serializer = StartSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        start = _open_reported if service.is_reported else _start
        run = start(service, request, serializer.validated_data)
        document = RunSerializer(run, context=self.get_serializer_context()).data
        location = reverse("api:run-detail", (run.pk,), request=request)
        status = HTTPStatus.CREATED if service.is_reported else HTTPStatus.ACCEPTED
        return Response(document, status=status, headers={"Location": location})


def _open_reported(service: Service, request: Request, data: dict[str, Any]) -> Run:
    """Opens a run that the caller reports."""
    for name in ("store", "options"):
        if data[name]:
            raise serializers.ValidationError(
                {name: [_("Not allowed for a reported service; leave it out.")]}
            )
    token: Any = request.auth
    run = open_reported_run(
        service,
        user=request.user,
        reporter=token.name,
        is_dry_run=data["dry_run"],
        idempotency_key=idempotency_key(request),
    )
    if run.is_dry_run != data["dry_run"]:
        raise key_reused(run)
    return run


def _start(service: Service, request: Request, data: dict[str, Any]) -> Run:
    """Queues a run."""
    try:
        options = checked_options(service, data["options"])
    except ValidationError as error:
        raise serializers.ValidationError({"options": error.message_dict}) from None
    run = start_run(
        service,
        trigger=Run.Trigger.API,
        user=request.user,
        store=data["store"],
        is_dry_run=data["dry_run"],
        options=options,
        idempotency_key=idempotency_key(request),
    )
    wanted = (Run.Trigger.API, set(data["store"]), data["dry_run"], options)
    if (run.trigger, set(run.stores), run.is_dry_run, run.options) != wanted:
        raise key_reused(run)
    return run
