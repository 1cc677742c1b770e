"""Cancellation of trials: the user asks a request that is still running to stop."""

from __future__ import annotations

import re
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.views.decorators.http import require_POST

# In seconds; longer than any trial.
_KEPT = 120
_ID = re.compile("[0-9a-f]{32}")


def cancel(user: Any, trial_id: str) -> None:
    """Asks the trial that `user` started with this id to stop."""
    cache.set(_key(user, trial_id), True, _KEPT)


def is_cancelled(user: Any, trial_id: str) -> bool:
    """Whether `user` has cancelled the trial; a trial without an id cannot be cancelled."""
    return bool(_ID.fullmatch(trial_id) and cache.get(_key(user, trial_id)))


@require_POST
def cancel_trial(request: HttpRequest) -> HttpResponse:
    """Cancels the trial `trial_id` of the user."""
    trial_id = request.POST.get("trial_id", "")
    if not _ID.fullmatch(trial_id):
        return HttpResponseBadRequest("Invalid trial_id.", content_type="text/plain")
    cancel(request.user, trial_id)
    return HttpResponse(status=204)


def _key(user: Any, trial_id: str) -> str:
    return f"trial-cancelled:{user.pk}:{trial_id}"
