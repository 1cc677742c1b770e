"""Health checks for load balancers: liveness and readiness."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.runs.monitoring.doctor import check_database
from apps.runs.monitoring.payload_store import check_payload_store
from apps.runs.tasks import check_broker

logger = logging.getLogger(__name__)


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """200 while the process responds; it checks nothing else."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 if database, broker and payload store respond, else 503 with the names of what is down."""
    checks = {
        "database": _is_up("database", check_database),
        "broker": _is_up("broker", check_broker),
        "payload_store": _is_up("payload store", check_payload_store),
    }
    is_ready = all(checks.values())
    document = {
        "status": "ready" if is_ready else "not ready",
        "checks": {name: "up" if is_up else "down" for name, is_up in checks.items()},
    }
    return JsonResponse(document, status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


def _is_up(name: str, check: Callable[[], Any]) -> bool:
    try:
        check()
    # Details of the error go to the log only, because the page is public.
    except Exception:
        logger.warning("Not ready: the %s is down", name, exc_info=True)
        return False
    return True
