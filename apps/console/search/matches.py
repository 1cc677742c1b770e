"""Matches of a query among runs, records, services, connections and payloads: at most six queries, each limited."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from apps.console.search.query import SearchQuery
from apps.console.search.records import find_records
from apps.console.ui.links import line_url, records_url
from apps.runs.models import Payload, Run
from apps.services.models import Connection, Service

# Rows of each group.
MAX_ROWS = 10
# Payloads that are read; some of them may be hidden from the user.
_MAX_PAYLOADS_READ = 200


@dataclass
class Matches:
    """Matches of one kind."""

    rows: list[Any] = field(default_factory=list)
    # Pages of the rows whose number, key, name or digest equals the query.
    exact_urls: list[str] = field(default_factory=list)
    # The full list.
    list_url: str = ""
    has_more: bool = False

    def cut(self) -> Matches:
        self.has_more = len(self.rows) > MAX_ROWS
        del self.rows[MAX_ROWS:]
        return self


def find_matches(request: HttpRequest, site: AdminSite, query: SearchQuery) -> dict[str, Matches]:
    """Matches that the user may see on the other pages too, by kind."""
    # Each with the model whose list requires a permission; records are visible with their services.
    finders = {
        "runs": (Run, _find_runs),
        "records": (Service, _find_records),
        "services": (Service, _find_services),
        "connections": (Connection, _find_connections),
        "payloads": (Payload, _find_payloads),
    }
    return {
        kind: find(request.user, query).cut()
        for kind, (model, find) in finders.items()
        if site.get_model_admin(model).has_view_permission(request)
    }


def _find_runs(user: Any, query: SearchQuery) -> Matches:
    if query.run_number is None:
        return Matches()
    runs = list(Run.objects.visible_to(user).filter(pk=query.run_number).select_related("service"))
    return Matches(runs, [reverse("admin:runs_run_log", args=[run.pk]) for run in runs])


def _find_records(user: Any, query: SearchQuery) -> Matches:
    records = find_records(user, query.key, is_prefix=query.is_prefix, limit=MAX_ROWS + 1)
    for record in records:
        record.url = records_url(key=record.key)
        record.line_url = line_url(record.run_id, record.sequence)
    exact_urls = [record.url for record in records if not query.is_prefix]
    return Matches(records, exact_urls, records_url(key=query.text))


def _find_services(user: Any, query: SearchQuery) -> Matches:
    is_exact = Q(slug=query.name) | Q(name__iexact=query.name)
    services = Service.objects.visible_to(user).filter(
        is_exact | Q(slug__icontains=query.name) | Q(name__icontains=query.name)
    )
    # Exact matches first.
    rows: list[Any] = list(services.annotate(is_exact=is_exact).order_by("-is_exact", "name")[: MAX_ROWS + 1])
    exact_urls = [
        reverse("admin:services_service_runs", args=[service.pk])
        for service in rows
        if service.is_exact and not query.is_prefix
    ]
    return Matches(rows, exact_urls, _list_url("services_service", query.name))


def _find_connections(user: Any, query: SearchQuery) -> Matches:
    connections = Connection.objects.not_hidden_from(user).filter(name__icontains=query.name)
    rows: list[Any] = list(
        connections.annotate(is_exact=Q(name=query.name)).order_by("-is_exact", "name")[: MAX_ROWS + 1]
    )
    exact_urls = [
        reverse("admin:services_connection_change", args=[connection.pk])
        for connection in rows
        if connection.is_exact and not query.is_prefix
    ]
    return Matches(rows, exact_urls, _list_url("services_connection", query.name))


def _find_payloads(user: Any, query: SearchQuery) -> Matches:
    if not query.digest:
        return Matches()
    # "g" follows all hexadecimal digits.
    read = Payload.objects.filter(sha256__gte=query.digest, sha256__lt=f"{query.digest}g")
    latest = read.order_by("sha256", "-created_at").values("pk")[:_MAX_PAYLOADS_READ]
    payloads = Payload.objects.visible_to(user).listed().with_state().filter(pk__in=latest)
    rows = list(payloads.select_related("service").order_by("sha256", "-created_at")[: MAX_ROWS + 1])
    exact_urls = [
        reverse("admin:runs_payload_change", args=[payload.pk]) for payload in rows if query.is_whole_digest
    ]
    return Matches(rows, exact_urls, _list_url("runs_payload", rows[0].sha256) if rows else "")


def _list_url(name: str, text: str) -> str:
    return f"{reverse(f'admin:{name}_changelist')}?{urlencode({'q': text})}"
