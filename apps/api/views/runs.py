"""Run list, detail and cancellation."""

from __future__ import annotations

from http import HTTPStatus

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.api.http.problems import RunHasEnded
from apps.api.models import ApiToken
from apps.api.queries.filters import RunFilter
from apps.api.queries.pagination import RunPagination
from apps.api.queries.visibility import listed_runs, visible_runs
from apps.api.schema import problem_responses
from apps.api.serializers.runs import RunSerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.runs.models import Run


@extend_schema_view(
    list=extend_schema(
        summary="List runs, newest first", responses={200: RunSerializer(many=True)} | problem_responses(400)
    ),
    retrieve=extend_schema(summary="Get a run", responses={200: RunSerializer} | problem_responses(404)),
)
class RunViewSet(ApiView, ListModelMixin, RetrieveModelMixin, GenericViewSet[Run]):
    """Runs of the services that the token may see."""

    required = {
        "list": Requires(ApiToken.Scope.RUN_READ),
        "retrieve": Requires(ApiToken.Scope.RUN_READ),
        "cancel": Requires(ApiToken.Scope.RUN_START, ("runs.cancel_run",)),
    }
    queryset = Run.objects.none()
    serializer_class = RunSerializer
    pagination_class = RunPagination
    filterset_class = RunFilter

    def get_queryset(self) -> QuerySet[Run]:
        runs = listed_runs(self.request) if self.action == "list" else visible_runs(self.request)
        return runs.select_related("service", "started_by")

    @extend_schema(
        summary="Cancel a run",
        request=None,
        responses={
            200: OpenApiResponse(RunSerializer, "The run was queued and is cancelled."),
            202: OpenApiResponse(RunSerializer, "The run will stop after its current page or batch."),
        }
        | problem_responses(404, 409, 411),
    )
    def cancel(self, request: Request, pk: int) -> Response:
        run = self.get_object()
        if not run.request_cancel(request.user):
            run.refresh_from_db(fields=["status"])
            raise RunHasEnded(_("The run has ended already: %(status)s.") % {"status": run.status})
        run.refresh_from_db()
        status = HTTPStatus.ACCEPTED if run.is_open else HTTPStatus.OK
        return Response(self.get_serializer(run).data, status=status)
