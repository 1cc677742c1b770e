"""The API's reference as a page where every operation can be tried: Swagger UI, from files of our own."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.csp import CSP
from django.views.decorators.csp import csp_override
from django.views.decorators.http import require_safe

# Swagger UI's icons are images inside its own styles.
_POLICY: dict[str, Any] = {**settings.SECURE_CSP, "img-src": [CSP.SELF, "data:"]}


@require_safe
@csp_override(_POLICY)
def docs(request: HttpRequest) -> HttpResponse:
    """Public as the description is; it holds nothing of what the service holds, and keeps no token."""
    return render(request, "api/docs.html")
