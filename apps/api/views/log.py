"""Log of a run: page by page while it grows, or the whole log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import batched
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.models import ApiToken
from apps.api.queries.filters import check_parameters
from apps.api.queries.visibility import visible_runs
from apps.api.schema import problem_responses
from apps.api.serializers.log import (
    LineFilterSerializer,
    LineSerializer,
    LogPageSerializer,
    LogQuerySerializer,
    line_as_json,
    line_as_text,
    line_filter,
)
from apps.api.tokens.permissions import Requires
from apps.api.views.base import ApiView
from apps.runs.log.reading import Line, all_lines, last_sequence, lines_after
from apps.runs.models import Run

# Interval at which clients poll a running run, in seconds.
POLL_SECONDS = 5
# Lines per write of a download.
_BATCH_LINES = 500
# Columns of the run that the log needs.
_RUN_COLUMNS = (
    *("status", "line_count", "lost_line_count", "is_complete"),
    *("store_pull", "store_script", "store_push"),
)
# Created once, because the creation takes longer than the use. Validation changes no state of theirs.
_LOG_QUERY = LogQuerySerializer()
_LINE_FILTER = LineFilterSerializer()


class _RunLogView(ApiView, GenericAPIView[Run]):
    required = {"get": Requires(ApiToken.Scope.RUN_READ)}
    queryset = Run.objects.none()

    def get_run(self) -> Run:
        runs = visible_runs(self.request).only(*_RUN_COLUMNS)
        return get_object_or_404(runs, pk=self.kwargs["pk"])


class LogView(_RunLogView):
    """A page of a run's log."""

    @extend_schema(
        operation_id="runs_log",
        summary="A page of a run's log",
        description=(
            "The lines after a sequence number, in order. Pass `next_after` as `after` to continue: at "
            "once while it is below `last_sequence`, then after `poll_after` seconds. No line is skipped."
        ),
        parameters=[LogQuerySerializer],
        responses={200: LogPageSerializer} | problem_responses(400, 404),
    )
    def get(self, request: Request, pk: int) -> Response:
        check_parameters(request, _LOG_QUERY.fields)
        query = _LOG_QUERY.run_validation(request.query_params)
        after, limit = query["after"], query["limit"]
        # The run is read before its lines, so that no line written in between is skipped.
        run = self.get_run()
        last = last_sequence(run)
        lines = lines_after(run, after, limit, line_filter(query))
        reached = [lines[-1].sequence] if lines else []
        if len(lines) < limit:
            reached.append(last)
        page = {
            "lines": self._serialize(lines),
            "next_after": max(after, *reached),
            "last_sequence": max(last, *reached),
            "status": run.status,
            "is_complete": run.is_complete,
            "poll_after": POLL_SECONDS if run.is_open else None,
        }
        return Response(page)

    def _serialize(self, lines: list[Line]) -> list[dict[str, Any]]:
        if not lines:
            # An idle poll creates no serializer.
            return []
        serializer = LineSerializer(context=self.get_serializer_context())
        return [serializer.to_representation(line) for line in lines]


class _WholeLogView(_RunLogView):
    """The whole log so far, streamed with constant memory."""

    content_type: str
    extension: str

    def stream(self, request: Request, format_line: Callable[[Line], str]) -> StreamingHttpResponse:
        check_parameters(request, _LINE_FILTER.fields)
        query = _LINE_FILTER.run_validation(request.query_params)
        run = self.get_run()
        return StreamingHttpResponse(
            _encode(all_lines(run, line_filter(query)), format_line),
            content_type=self.content_type,
            headers={"Content-Disposition": f'attachment; filename="run-{run.pk}-log.{self.extension}"'},
        )


class LogTextView(_WholeLogView):
    """The whole log as text."""

    content_type = "text/plain; charset=utf-8"
    extension = "txt"

    @extend_schema(
        operation_id="runs_log_txt",
        summary="A run's whole log as text",
        description="One line each, `time LEVEL step message`; continuations of a message are indented.",
        parameters=[LineFilterSerializer],
        responses={(200, "text/plain"): str} | problem_responses(400, 404),
    )
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        return self.stream(request, line_as_text)


class LogNdjsonView(_WholeLogView):
    """The whole log as NDJSON."""

    content_type = "application/x-ndjson"
    extension = "ndjson"

    @extend_schema(
        operation_id="runs_log_ndjson",
        summary="A run's whole log as NDJSON",
        parameters=[LineFilterSerializer],
        responses={(200, "application/x-ndjson"): LineSerializer} | problem_responses(400, 404),
    )
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        serializer = LineSerializer(context=self.get_serializer_context())
        return self.stream(request, lambda line: line_as_json(serializer.to_representation(line)))


def _encode(lines: Iterator[Line], format_line: Callable[[Line], str]) -> Iterator[bytes]:
    for batch in batched(lines, _BATCH_LINES):
        yield "".join(format_line(line) for line in batch).encode("utf-8", "backslashreplace")
