"""Record list."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin
from rest_framework.viewsets import GenericViewSet

from apps.api.models import ApiToken
from apps.api.queries.filters import RecordFilter
from apps.api.queries.record_pagination import RecordPagination
from apps.api.queries.visibility import listed_runs
from apps.api.schema import problem_responses
from apps.api.serializers.records import RecordSerializer
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.runs.models import Record, Run
from apps.runs.records.payloads import payloads_of


@extend_schema_view(
    list=extend_schema(
        summary="List records, newest first",
        description=(
            "What became of each record in each run. `key=10045` is the history of one record, "
            "`run=812&outcome=refused` what a run could not push."
        ),
        responses={200: RecordSerializer(many=True)} | problem_responses(400),
    )
)
class RecordViewSet(ApiView, ListModelMixin, GenericViewSet[Record]):
    """Records of the services that the token may see."""

    required = {"list": Requires(ApiToken.Scope.RUN_READ)}
    queryset = Record.objects.none()
    serializer_class = RecordSerializer
    pagination_class = RecordPagination
    filterset_class = RecordFilter

    def get_queryset(self) -> QuerySet[Record]:
        """All records; the pagination selects those of `get_runs`."""
        return Record.objects.with_resolution()

    def get_runs(self) -> QuerySet[Run]:
        """The runs whose records the request may see and asks for."""
        return RecordFilter.filter_runs(listed_runs(self.request), self.request.query_params)

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        context = {**self.get_serializer_context(), "payloads": payloads_of(args[0]) if args else {}}
        return RecordSerializer(*args, **kwargs, context=context)
