"""The log of a run: page by page while it grows, or whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import batched
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.filters import refuse_unknown_parameters
from apps.api.log_formats import as_json_line, as_text
from apps.api.models import ApiToken
from apps.api.permissions import Needs
from apps.api.schema import answers
from apps.api.serializers import (
    LineFilterSerializer,
    LineSerializer,
    LogPageSerializer,
    LogQuerySerializer,
    line_filter,
)
from apps.api.views.base import ApiView
from apps.api.visibility import visible_runs
from apps.runs.log.reading import Line, all_lines, last_sequence, lines_after
from apps.runs.models import Run

# Seconds between two looks at a log that still grows.
POLL_SECONDS = 5
# Lines that are written to a download at once.
_LINES_AT_ONCE = 500
# Of a run, what its log is read by.
_COLUMNS = (
    *("status", "line_count", "lost_line_count", "is_complete"),
    *("store_pull", "store_script", "store_push"),
)
# They keep nothing of what they read, and take longer to make than to ask.
_LOG_QUERY = LogQuerySerializer()
_LINE_FILTER = LineFilterSerializer()


class _RunLogView(ApiView, GenericAPIView[Run]):
    needs = {"get": Needs(ApiToken.Scope.RUN_READ)}
    queryset = Run.objects.none()

    def get_run(self) -> Run:
        runs = visible_runs(self.request).only(*_COLUMNS)
        return get_object_or_404(runs, pk=self.kwargs["pk"])


class LogView(_RunLogView):
    """A page of a run's log."""

    @extend_schema(
        operation_id="runs_log",
        summary="A page of a run's log",
        description=(
            "The lines after a sequence number, in order. Pass `next_after` as `after` to go on: at once while it "
            "is below `last_sequence`, then after `poll_after` seconds. No line is left out, however one polls."
        ),
        parameters=[LogQuerySerializer],
        responses={200: LogPageSerializer} | answers(400, 404),
    )
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown_parameters(request, _LOG_QUERY.fields)
        query = _LOG_QUERY.run_validation(request.query_params)
        after, limit = query["after"], query["limit"]
        # The run before its lines, so that none is passed over that is written meanwhile.
        run = self.get_run()
        last = last_sequence(run)
        lines = lines_after(run, after, limit, line_filter(query))
        reached = [lines[-1].sequence] if lines else []
        if len(lines) < limit:
            reached.append(last)
        page = {
            "lines": self._written(lines),
            "next_after": max(after, *reached),
            "last_sequence": max(last, *reached),
            "status": run.status,
            "is_complete": run.is_complete,
            "poll_after": POLL_SECONDS if run.is_open else None,
        }
        return Response(page)

    def _written(self, lines: list[Line]) -> list[dict[str, Any]]:
        """As LogPageSerializer describes them; where there are none, as mostly, nothing is set up for them."""
        if not lines:
            return []
        line = LineSerializer(context=self.get_serializer_context())
        return [line.to_representation(one) for one in lines]


class _WholeLogView(_RunLogView):
    """The whole log up to now, streamed, so that memory stays flat however long it is."""

    content_type: str
    extension: str

    def stream(self, request: Request, format_line: Callable[[Line], str]) -> StreamingHttpResponse:
        refuse_unknown_parameters(request, _LINE_FILTER.fields)
        query = _LINE_FILTER.run_validation(request.query_params)
        run = self.get_run()
        return StreamingHttpResponse(
            _encoded(all_lines(run, line_filter(query)), format_line),
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
        description="One line each, `time LEVEL step message`; what continues a message is indented.",
        parameters=[LineFilterSerializer],
        responses={(200, "text/plain"): str} | answers(400, 404),
    )
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        return self.stream(request, as_text)


class LogNdjsonView(_WholeLogView):
    """The whole log as JSON, a line each."""

    content_type = "application/x-ndjson"
    extension = "ndjson"

    @extend_schema(
        operation_id="runs_log_ndjson",
        summary="A run's whole log as NDJSON",
        parameters=[LineFilterSerializer],
        responses={(200, "application/x-ndjson"): LineSerializer} | answers(400, 404),
    )
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        # To be the same as in a page, payloads and all.
        line = LineSerializer(context=self.get_serializer_context())
        return self.stream(request, lambda one: as_json_line(line.to_representation(one)))


def _encoded(lines: Iterator[Line], format_line: Callable[[Line], str]) -> Iterator[bytes]:
    for some in batched(lines, _LINES_AT_ONCE):
        yield "".join(format_line(line) for line in some).encode("utf-8", "backslashreplace")
