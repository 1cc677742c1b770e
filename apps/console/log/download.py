"""Download of a log, complete or filtered, streamed while the run is open."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC
from itertools import batched

from django.http import HttpRequest, StreamingHttpResponse

from apps.console.log.window import LogQuery
from apps.runs.log.reading import Line, LineFilter, all_lines
from apps.runs.models import Run

# Lines per write.
_LINES_AT_ONCE = 500


def download_text(request: HttpRequest, run: Run) -> StreamingHttpResponse:
    """Number, time, level, step and message, separated by tabs; continuations of a message are indented."""
    return _download(request, run, _as_text, "text/plain; charset=utf-8", "log")


def download_ndjson(request: HttpRequest, run: Run) -> StreamingHttpResponse:
    """One JSON object a line, with the names of the API."""
    return _download(request, run, _as_json, "application/x-ndjson", "ndjson")


def _download(
    request: HttpRequest, run: Run, form: Callable[[Line], str], content_type: str, extension: str
) -> StreamingHttpResponse:
    query = LogQuery.from_query(request.GET)
    part = "-filtered" if query.is_filtered else ""
    return StreamingHttpResponse(
        _encoded(run, query.line_filter, form),
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="run-{run.pk}{part}.{extension}"'},
    )


def _encoded(run: Run, line_filter: LineFilter, form: Callable[[Line], str]) -> Iterator[bytes]:
    for some in batched(all_lines(run, line_filter), _LINES_AT_ONCE):
        yield "".join([form(line) for line in some]).encode("utf-8", "backslashreplace")


def _as_text(line: Line) -> str:
    # A tab before the continuation of a message, which cannot be mistaken for a line of its own.
    message = "\n\t".join(line.message.splitlines())
    return f"{line.sequence}\t{_moment(line)}\t{line.level.name}\t{line.step.slug}\t{message}\n"


def _as_json(line: Line) -> str:
    payloads = [
        {
            "id": str(payload.pk),
            "kind": payload.kind,
            "name": payload.name,
            "size": payload.size,
            "sha256": payload.sha256,
        }
        for payload in line.payloads
    ]
    document = {
        "sequence": line.sequence,
        "logged_at": _moment(line),
        "level": line.level.slug,
        "step": line.step.slug,
        "message": line.message,
        "payloads": payloads,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _moment(line: Line) -> str:
    return line.logged_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
