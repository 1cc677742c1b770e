"""Texts about a record: what became of it, where, and the badge of its outcome."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.ui.badges import icon
from apps.runs.models import Record, Step

# Icon of each outcome in templates/console/icons.html.
_ICONS = {
    Record.Outcome.REFUSED: "cross",
    Record.Outcome.FAILED: "warning",
    Record.Outcome.PUSHED: "check",
    Record.Outcome.DROPPED: "slash",
    Record.Outcome.SKIPPED: "skip",
    Record.Outcome.PULLED: "question",
}


def outcome_badge(outcome: int) -> SafeString:
    """The outcome as word, shape and colour."""
    known = Record.Outcome(outcome)
    return format_html(
        '<span class="badge outcome-{}">{}{}</span>', known.slug, icon(_ICONS[known]), known.label
    )


def place_text(record: Record) -> str:
    """Step, page and batch: "push · page 3, batch 7"."""
    step = str(Step(record.step).label)
    if not record.page:
        return step
    if not record.batch:
        return _("%(step)s · page %(page)s") % {"step": step, "page": record.page}
    text = _("%(step)s · page %(page)s, batch %(batch)s")
    return text % {"step": step, "page": record.page, "batch": record.batch}


def history_text(record: Record) -> str:
    """What became of the record, in one sentence without its end: "Pulled on page 3, dropped by the script"."""
    texts = {
        Record.Outcome.REFUSED: (
            _("Refused by the destination"),
            _("Refused in batch %(batch)s of page %(page)s"),
        ),
        Record.Outcome.FAILED: (_("Not pushed"), _("Pulled on page %(page)s, not pushed")),
        Record.Outcome.PUSHED: (_("Pushed"), _("Pushed in batch %(batch)s of page %(page)s")),
        Record.Outcome.DROPPED: (
            _("Dropped by the script"),
            _("Pulled on page %(page)s, dropped by the script"),
        ),
        Record.Outcome.SKIPPED: (_("Skipped"), _("Pulled on page %(page)s, skipped"))
        if record.message
        else (_("Skipped: unchanged"), _("Pulled on page %(page)s, skipped: unchanged")),
        Record.Outcome.PULLED: (_("Pulled"), _("Pulled on page %(page)s")),
    }
    short, full = texts[Record.Outcome(record.outcome)]
    if not record.page or ("%(batch)s" in full and not record.batch):
        return short
    return full % {"page": record.page, "batch": record.batch}
