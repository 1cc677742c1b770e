"""Texts of the scripts of the log page, in the active language."""

from __future__ import annotations

from django.utils.translation import gettext as _


def script_texts() -> dict[str, str]:
    """Texts by name; %s is a number, a time or a span."""
    return {
        "on": _("Auto-refresh is on"),
        "off": _("Auto-refresh is off"),
        "new": _("%s new lines"),
        "one": _("1 new line"),
        "further": _("%s more lines"),
        "ended": _("The run has ended; its log is complete."),
        "over": _("The run has ended; no more lines will follow."),
        "offline": _("No connection to the server. Retrying every few seconds; no line is lost."),
        "online": _("Connected again."),
        "signedOut": _("You have been logged out. Log in again to continue."),
        "forbidden": _("You may no longer read this run. Auto-refresh has stopped."),
        "missing": _("This run no longer exists. Auto-refresh has stopped."),
        "left": _("expires in %s"),
        "gone": _("expired %s"),
        "hours": _("h"),
        "minutes": _("min"),
        "moments": _("less than a minute"),
    } | _navigation()


def _navigation() -> dict[str, str]:
    return {
        "hit": _("%s of %s"),
        "hits": _("%s matches"),
        "oneHit": _("1 match"),
        "noHit": _("No matches"),
        "noHitBehind": _("No matches after line %s."),
        "noHitBefore": _("No matches before line %s."),
        "noError": _("This run has no errors."),
        "noErrorBehind": _("No errors after line %s."),
        "noErrorBefore": _("No errors before line %s."),
        "searching": _("Searching …"),
        "stopped": _("No matches up to line %s."),
        "goOn": _("Continue search"),
        "noSuchLine": _("Line %s does not exist."),
        "unfiltered": _("The filter hid this line; all lines are shown."),
        "line": _("Line %s"),
        "lines": _("Lines %s to %s"),
        "copied": _("Copied"),
        "copiedLines": _("%s lines copied"),
        "copiedLink": _("Link copied"),
        "copyHere": _("Copy this:"),
        "none": _("No line matches."),
        "lookedFrom": _("Earlier lines (before line %s)"),
        "lookedTo": _("Later lines (after line %s)"),
        "earlier": _("Earlier lines"),
        "later": _("Later lines"),
        "range": _("%s–%s"),
    }
