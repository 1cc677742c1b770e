"""Changes of problems from their pages: one, or all that are selected in the list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.alerts.models import Problem
from apps.alerts.problems.changes import assign, possible_assignees, set_note, set_state

# Choices for how many days a problem can be muted.
MUTE_DAYS = (1, 7, 30)
_MAX_RATE = 1_000_000
_MAX_SELECTED = 200
_MAX_NOTE = 4000

type Change = Callable[[Problem], bool]


def change_problems(request: HttpRequest) -> HttpResponse:
    """Applies `action` to the problems in `problem`; invalid input is a message, and nothing changes."""
    if not request.user.has_perm("alerts.change_problem"):
        raise PermissionDenied
    numbers = [
        number for number in request.POST.getlist("problem") if number.isdecimal() and len(number) <= 18
    ]
    problems = list(
        Problem.objects.visible_to(request.user).filter(pk__in=numbers[:_MAX_SELECTED]).order_by("pk")
    )
    if not problems:
        messages.error(request, _("Select at least one problem."))
        return HttpResponseRedirect(_next_url(request))
    try:
        change = _change(request, timezone.now())
    except ValidationError as error:
        messages.error(request, error.messages[0])
    else:
        count = sum([change(problem) for problem in problems])
        text = ngettext("%(count)s problem changed.", "%(count)s problems changed.", count)
        messages.success(request, text % {"count": count})
    return HttpResponseRedirect(_next_url(request))


def _change(request: HttpRequest, now: datetime) -> Change:
    """The change that the form describes. Raises ValidationError."""
    form, user = request.POST, request.user
    match form.get("action"):
        case "resolve":
            return lambda problem: set_state(problem, Problem.State.RESOLVED, user=user, now=now)
        case "reopen":
            return lambda problem: set_state(problem, Problem.State.OPEN, user=user, now=now)
        case "mute":
            mute = _mute(form, now)
            return lambda problem: set_state(problem, Problem.State.MUTED, user=user, now=now, **mute)
        case "assign":
            assignee = _assignee(form)
            return lambda problem: assign(problem, assignee, user=user, now=now)
        case "note":
            note = form.get("note", "").replace("\x00", "␀").replace("\r\n", "\n").strip()
            if len(note) > _MAX_NOTE:
                raise ValidationError(
                    _("The note is too long. Write at most %(count)d characters.") % {"count": _MAX_NOTE}
                )
            return lambda problem: set_note(problem, note, user=user, now=now)
    raise ValidationError(_("Unknown action. Choose one of the buttons."))


def _mute(form: Any, now: datetime) -> dict[str, Any]:
    days, rate = form.get("days", ""), form.get("rate", "").strip()
    if days and days not in map(str, MUTE_DAYS):
        raise ValidationError(_("Choose how long the problem is muted."))
    if rate and not (rate.isdecimal() and len(rate) <= 7 and int(rate) <= _MAX_RATE):
        raise ValidationError(_("Enter the lines per hour as a whole number of at most 1,000,000."))
    return {
        "muted_until": now + timedelta(days=int(days)) if days else None,
        "muted_rate": int(rate) if rate else None,
    }


def _assignee(form: Any) -> Any:
    name = form.get("assignee", "")
    if not name:
        return None
    user = None if "\x00" in name else possible_assignees().filter(username=name).first()
    if user is None:
        raise ValidationError(_("User not found. Choose one from the list."))
    return user


def _next_url(request: HttpRequest) -> str:
    url = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())
    return url if url and is_ours else reverse("admin:problems")
