"""Links from log lines to the records that they name, or that they decided on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from django.db.models import Q
from django.utils.translation import gettext as _

from apps.console.ui.ansi import message_html
from apps.console.ui.links import records_url
from apps.runs.log.reading import Line
from apps.runs.models import Record, Run, Step

# Parts of a text that may be keys.
_WORDS = re.compile(r"[^\s,;:“”„\"'()\[\]{}<>]+")
# Texts of our own that name keys; the numbers of other lines are counts, times and statuses.
_NAMING = ("Record ", "Resync of ", "The source did not contain ")
# Words and records of a window of lines, so that its query takes a few milliseconds.
_MAX_WORDS = 1000
_MAX_DECIDED = 2000
# Keys that are listed at a line.
_MAX_LISTED = 3


@dataclass(frozen=True)
class RecordLinks:
    """Records of a run that belong to some of its lines."""

    run_id: int = 0
    # Keys that occur in the texts of lines.
    named: frozenset[str] = frozenset()
    # Keys of refused and failed records, by the line of the decision and its outcome.
    decided: dict[int, dict[Record.Outcome, list[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run, lines: Sequence[Line]) -> RecordLinks:
        """Takes one query; none without lines or records."""
        if not lines or not run.has_records:
            return cls()
        words = _words(lines)
        rejected = Q(
            outcome__in=(Record.Outcome.REFUSED, Record.Outcome.FAILED),
            sequence__gte=lines[0].sequence,
            sequence__lte=lines[-1].sequence,
        )
        records = Record.objects.filter(rejected | Q(key__in=words) if words else rejected, run_id=run.pk)
        named: set[str] = set()
        decided: dict[int, dict[Record.Outcome, list[str]]] = {}
        for key, sequence, outcome in records.values_list("key", "sequence", "outcome")[:_MAX_DECIDED]:
            if key in words:
                named.add(key)
            if outcome <= Record.Outcome.FAILED:
                decided.setdefault(sequence, {}).setdefault(Record.Outcome(outcome), []).append(key)
        return cls(run.pk, frozenset(named), decided)

    def message_html(self, line: Line) -> str:
        """The message, in which the named keys are links."""
        message = line.message
        if not self.named or not _names_keys(line) or "\x1b" in message:
            return message_html(message)
        html, end = [], 0
        for match in _WORDS.finditer(message):
            key = match.group() if match.group() in self.named else match.group().rstrip(".!?")
            if key in self.named:
                html += [message_html(message[end : match.start()]), _link(key)]
                end = match.start() + len(key)
        return "".join([*html, message_html(message[end:])])

    def decided_html(self, line: Line) -> str:
        """Links to the records that the line decided on."""
        return "".join(
            self._listed(outcome, sorted(keys))
            for outcome, keys in self.decided.get(line.sequence, {}).items()
        )

    def _listed(self, outcome: Record.Outcome, keys: Sequence[str]) -> str:
        links = [_link(key) for key in keys[:_MAX_LISTED]]
        if len(keys) > _MAX_LISTED:
            url = escape(records_url(run=self.run_id, outcome=outcome.slug))
            links.append(f'<a href="{url}">{escape(_("and more"))}</a>')
        return f'<div class="line-records">{escape(str(outcome.label))}: {", ".join(links)}</div>'


def _words(lines: Iterable[Line]) -> set[str]:
    words: set[str] = set()
    for line in lines:
        if _names_keys(line):
            for word in _WORDS.findall(line.message):
                words |= {word, word.rstrip(".!?")}
        if len(words) > _MAX_WORDS:
            break
    return words - {""}


def _names_keys(line: Line) -> bool:
    return line.step == Step.SCRIPT or line.message.startswith(_NAMING)


def _link(key: str) -> str:
    return f'<a class="line-record" href="{escape(records_url(key=key))}">{message_html(key)}</a>'
