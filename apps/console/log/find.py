"""Finds lines in the whole log for the page: the next and previous hit, and how many there are."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from apps.console.log.search import Search
from apps.console.log.window import LogQuestion
from apps.runs.models import Run


def log_find(request: HttpRequest, run: Run) -> JsonResponse:
    """The hit after `?after=` or before `?before=`; with neither, the numbers of the first thousand.

    `reached` is the line up to which was looked; where `is_done` is false and nothing was found, asking again
    from there goes on. `is_last`: there is no hit behind this one, or none at all.
    """
    question = LogQuestion.from_query(request.GET)
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
    # A hit is an answer, whether or not there are more behind it.
    is_done = found.is_done or line is not None
    return _answer({"line": line, "reached": found.reached, "is_done": is_done, "is_last": found.is_done})


def _answer(answer: dict[str, object]) -> JsonResponse:
    return JsonResponse(answer, headers={"Cache-Control": "no-store"})
