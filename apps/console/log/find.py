"""Search in the whole log: next and previous match, and the number of matches."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from apps.console.log.search import Search
from apps.console.log.window import LogQuery
from apps.runs.models import Run


def log_find(request: HttpRequest, run: Run) -> JsonResponse:
    """The match after `?after=` or before `?before=`; without either, the numbers of the first thousand matches.

    `reached` is the last line that was searched; if `is_done` is false and nothing was found, the search continues
    from there. `is_last`: no match follows in this direction.
    """
    query = LogQuery.from_query(request.GET)
    search = Search(run, query.line_filter)
    if query.after is not None:
        found = search.forwards(query.after, 1)
        line = found.lines[0].sequence if found.lines else None
    elif query.before is not None:
        found = search.backwards(query.before, 1)
        line = found.lines[0].sequence if found.lines else None
    else:
        matches = search.count()
        return _json_response(
            {"matches": matches.numbers, "reached": matches.reached, "is_done": matches.is_done}
        )
    # A match is a result, even if more follow.
    is_done = found.is_done or line is not None
    return _json_response(
        {"line": line, "reached": found.reached, "is_done": is_done, "is_last": found.is_done}
    )


def _json_response(response: dict[str, object]) -> JsonResponse:
    return JsonResponse(response, headers={"Cache-Control": "no-store"})
