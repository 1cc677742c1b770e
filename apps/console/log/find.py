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
    question = LogQuery.from_query(request.GET)
    search = Search(run, question.wanted)
    if question.after is not None:
        found = search.forwards(question.after, 1)
        line = found.lines[0].sequence if found.lines else None
    elif question.before is not None:
        found = search.backwards(question.before, 1)
        line = found.lines[0].sequence if found.lines else None
    else:
        hits = search.count()
        return _answer({"hits": hits.numbers, "reached": hits.reached, "is_done": hits.is_done})
    # A match is a result, even if more follow.
    is_done = found.is_done or line is not None
    return _answer({"line": line, "reached": found.reached, "is_done": is_done, "is_last": found.is_done})


def _answer(answer: dict[str, object]) -> JsonResponse:
    return JsonResponse(answer, headers={"Cache-Control": "no-store"})
