"""Badges of problems."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.alerts.models import Problem
from apps.console.ui.badges import icon
from apps.runs.models import Level

# Class and icon of each state.
_STATES = {
    Problem.State.OPEN: ("failed", "warning"),
    Problem.State.MUTED: ("never", "pause"),
    Problem.State.RESOLVED: ("succeeded", "check"),
}


def problem_badge(problem: Problem) -> SafeString:
    """The state as word, shape and colour."""
    state = Problem.State(problem.state)
    style, name = _STATES[state]
    if problem.is_reopened:
        return format_html('<span class="badge badge-failed">{}{}</span>', icon("again"), _("Reopened"))
    if problem.is_open and problem.level < Level.ERROR:
        style = "lost"
    return format_html('<span class="badge badge-{}">{}{}</span>', style, icon(name), state.label)
