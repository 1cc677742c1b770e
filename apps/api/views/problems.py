"""Problem list and detail, and changes of problems."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.alerts.models import Problem
from apps.alerts.problems.changes import assign, set_note, set_state
from apps.api.models import ApiToken
from apps.api.queries.alert_filters import ProblemFilter
from apps.api.queries.pagination import ProblemPagination
from apps.api.queries.visibility import visible_problems
from apps.api.schema import problem_responses
from apps.api.serializers.problems import ProblemChangeSerializer, ServiceProblemSerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.runs.clock import database_now

_READ = Requires(ApiToken.Scope.RUN_READ)


@extend_schema_view(
    list=extend_schema(
        summary="List problems",
        description="Warnings and errors that are one problem, those that occurred last first.",
        responses={200: ServiceProblemSerializer(many=True)} | problem_responses(400),
    ),
    retrieve=extend_schema(
        summary="Get a problem", responses={200: ServiceProblemSerializer} | problem_responses(404)
    ),
)
class ProblemViewSet(ApiView, ListModelMixin, RetrieveModelMixin, GenericViewSet[Problem]):
    """Problems of the services that the token may see."""

    http_method_names = ["get", "head", "patch"]
    required = {
        "list": _READ,
        "retrieve": _READ,
        "change": Requires(ApiToken.Scope.RUN_START, ("alerts.change_problem",)),
    }
    queryset = Problem.objects.none()
    serializer_class = ServiceProblemSerializer
    pagination_class = ProblemPagination
    filterset_class = ProblemFilter

    def get_queryset(self) -> QuerySet[Problem]:
        return visible_problems(self.request).select_related("service", "assignee")

    @extend_schema(
        summary="Change a problem",
        description="Sets state, assignee or note; what is left out stays. Needs the permission to change problems.",
        request=ProblemChangeSerializer,
        responses={200: ServiceProblemSerializer} | problem_responses(400, 404, 413, 415),
    )
    def change(self, request: Request, pk: int) -> Response:
        problem = self.get_object()
        changes = ProblemChangeSerializer(data=request.data)
        changes.is_valid(raise_exception=True)
        data: dict[str, Any] = changes.validated_data
        user, now = request.user, database_now()
        if "state" in data:
            set_state(problem, Problem.State(data["state"]), user=user, now=now)
        if "assignee" in data:
            assign(problem, data["assignee"], user=user, now=now)
        if "note" in data:
            set_note(problem, data["note"], user=user, now=now)
        return Response(ServiceProblemSerializer(self.get_object()).data)
