"""The search page: redirects to a single exact match, otherwise shows all matches in groups."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.console.payloads.links import payload_state
from apps.console.records.texts import outcome_badge
from apps.console.search.matches import Matches, find_matches
from apps.console.search.query import MAX_LENGTH, SearchQuery
from apps.console.search.records import MAX_RUNS
from apps.console.ui.formatting import number_text, size_text


def search_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Matches of `?q=`; without it, what can be searched."""
    text = request.GET.get("q", "").strip()
    is_too_long = len(text) > MAX_LENGTH
    query = SearchQuery.from_text(text if not is_too_long else "")
    matches = find_matches(request, site, query) if query.text else {}
    exact_urls = [url for group in matches.values() for url in group.exact_urls]
    if len(exact_urls) == 1:
        return HttpResponseRedirect(exact_urls[0])
    _add_texts(matches)
    context = {
        **site.each_context(request),
        "title": _("Search for “%(text)s”") % {"text": query.text} if query.text else _("Search"),
        # Shown in the box.
        "search_text": query.text,
        "query": query,
        "matches": matches,
        "has_matches": any(group.rows for group in matches.values()),
        "is_too_long": is_too_long,
        "max_length": number_text(MAX_LENGTH),
    }
    return TemplateResponse(request, "console/search.html", context)


def _add_texts(matches: dict[str, Matches]) -> None:
    now = timezone.now()
    for record in matches.get("records", Matches()).rows:
        record.badge = outcome_badge(record.outcome)
        record.run_count_text = _run_count_text(record.run_count)
    for payload in matches.get("payloads", Matches()).rows:
        payload.size_text = size_text(payload.size)
        payload.state_text = payload_state(payload, now)[1]


def _run_count_text(count: int) -> Any:
    if count > MAX_RUNS:
        return _("in more than %(count)s runs") % {"count": MAX_RUNS}
    return ngettext("in %(count)s run", "in %(count)s runs", count) % {"count": count}
