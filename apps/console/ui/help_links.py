"""Help links: the topic of the handbook that belongs to a page."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse

# The topic for each page whose URL name starts so; the first match counts.
_TOPICS = (
    ("index", "overview"),
    ("services_service_runs", "logs"),
    ("services_service_run", "running-a-service"),
    ("services_service_script", "scripts"),
    ("services_service", "services"),
    ("services_connection", "connections"),
    ("alerts_channel", "alerts"),
    ("alerts_delivery", "alerts"),
    ("audit", "audit"),
    ("records", "records"),
    ("problems", "problems"),
    ("runs_run", "logs"),
    ("runs_payload", "payloads"),
    ("api_apitoken", "api"),
    ("alerts_", "alerts"),
)


def help_url(request: HttpRequest) -> str:
    """The address of the topic that explains the page of `request`."""
    match = request.resolver_match
    name = match.url_name if match and match.url_name else ""
    slug = next((topic for prefix, topic in _TOPICS if name.startswith(prefix)), "overview")
    return reverse("admin:help_topic", args=[slug])
