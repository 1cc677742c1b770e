"""The help page: a topic of the handbook, or the matches of a search in it."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from apps.console.help.topics import all_topics, search

MAX_QUERY_LENGTH = 200


def help_page(request: HttpRequest, site: AdminSite, slug: str = "overview") -> HttpResponse:
    """Shows the topic `slug`, or with `?q=` the sections that contain every word of the query."""
    topics = all_topics()
    if slug not in topics:
        raise Http404
    query = request.GET.get("q", "").strip()[:MAX_QUERY_LENGTH]
    context = {
        **site.each_context(request),
        "title": _("Help") if query else topics[slug].title,
        "topics": topics.values(),
        "topic": topics[slug],
        "query": query,
        "matches": search(query),
    }
    return TemplateResponse(request, "console/help/page.html", context)
