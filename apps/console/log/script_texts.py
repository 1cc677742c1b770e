"""What the scripts of the log page say, in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext as _


def log_words() -> dict[str, str]:
    """By their name in the scripts; %s stands for a number, a time or a span."""
    return {
        "on": _("Auto-refresh is on"),
        "off": _("Auto-refresh is off"),
        "new": _("%s new lines"),
        "one": _("1 new line"),
        "further": _("%s lines further on"),
        "ended": _("The run has ended; its log is complete on this page."),
        "over": _("The run has ended: no more lines come."),
        "offline": _("No connection to the server. Trying again every few seconds; no line is lost."),
        "online": _("The connection is back."),
        "signedOut": _("You have been signed out. Sign in again and this page goes on where it stopped."),
        "forbidden": _("You may no longer read this run. Refreshing has stopped."),
        "missing": _("This run is no longer there. Refreshing has stopped."),
        "left": _("works for %s"),
        "gone": _("expired %s"),
        "hours": _("h"),
        "minutes": _("min"),
        "moments": _("less than a minute"),
    } | _navigation()


def _navigation() -> dict[str, str]:
    return {
        "hit": _("%s of %s"),
        "hits": _("%s hits"),
        "oneHit": _("1 hit"),
        "noHit": _("No hit"),
        "noHitBehind": _("No hit after line %s."),
        "noHitBefore": _("No hit before line %s."),
        "noError": _("This run has logged no error."),
        "noErrorBehind": _("No error after line %s."),
        "noErrorBefore": _("No error before line %s."),
        "searching": _("Looking …"),
        "stopped": _("Nothing up to line %s."),
        "goOn": _("Go on"),
        "noSuchLine": _("There is no line %s."),
        "unfiltered": _("All lines are shown again: the filter hides that line."),
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
