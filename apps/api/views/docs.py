"""API reference: Swagger UI from our own static files."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.csp import CSP
from django.views.decorators.csp import csp_override
from django.views.decorators.http import require_safe

# Icons of Swagger UI are data URLs in its styles.
_POLICY: dict[str, Any] = {**settings.SECURE_CSP, "img-src": [CSP.SELF, "data:"]}


@require_safe
@csp_override(_POLICY)
def docs(request: HttpRequest) -> HttpResponse:
    """Page of the API reference. It is public: it contains no data and stores no token."""
    return render(request, "api/docs.html")
