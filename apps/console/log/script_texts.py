"""Texts of the scripts of the log page, in the active language."""

from __future__ import annotations

from django.utils.translation import gettext as _


def script_texts() -> dict[str, str]:
    """Texts by name; %s is a number, a time or a span."""
    return {
        "on": _("Auto-refresh is on"),
        "off": _("Auto-refresh is off"),
        "newLines": _("%s new lines"),
        "oneNewLine": _("1 new line"),
        "moreLines": _("%s more lines"),
        "ended": _("The run has ended; its log is complete."),
        "noMoreLines": _("The run has ended; no more lines will follow."),
        "offline": _("No connection to the server. Retrying every few seconds; no line is lost."),
        "online": _("Connected again."),
        "loggedOut": _("You have been logged out. Log in again to continue."),
        "forbidden": _("You may no longer read this run. Auto-refresh has stopped."),
        "notFound": _("This run no longer exists. Auto-refresh has stopped."),
        "expiresIn": _("expires in %s"),
        "expired": _("expired %s"),
        "hours": _("h"),
        "minutes": _("min"),
        "lessThanAMinute": _("less than a minute"),
    } | _navigation()


def _navigation() -> dict[str, str]:
    return {
        "matchOf": _("%s of %s"),
        "matches": _("%s matches"),
        "oneMatch": _("1 match"),
        "noMatches": _("No matches"),
        "noMatchAfter": _("No matches after line %s."),
        "noMatchBefore": _("No matches before line %s."),
        "noErrors": _("This run has no errors."),
        "noErrorAfter": _("No errors after line %s."),
        "noErrorBefore": _("No errors before line %s."),
        "searchedUpTo": _("No matches up to line %s."),
        "lineNotFound": _("Line %s does not exist."),
        "filterCleared": _("The filter hid this line; all lines are shown."),
        "line": _("Line %s"),
        "lines": _("Lines %s to %s"),
        "copied": _("Copied"),
        "copiedLines": _("%s lines copied"),
        "copiedLink": _("Link copied"),
        "noLineMatches": _("No line matches."),
        "earlierThan": _("Earlier lines (before line %s)"),
        "laterThan": _("Later lines (after line %s)"),
        "earlier": _("Earlier lines"),
        "later": _("Later lines"),
        "range": _("%s–%s"),
    }
