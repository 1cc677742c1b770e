"""Messages of alerts, and their rendering in the language of the recipient."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils import translation
from django.utils.formats import date_format
from django.utils.functional import Promise

type Text = str | Promise

_SUBJECT_CHARACTERS = 200
_TEXT_CHARACTERS = 4000


@dataclass(frozen=True)
class Message:
    """Content of a message of an alert. Lazy texts are translated for each recipient; the caller masks secrets."""

    # What happened, such as `failed`, `recovered` or `test`: for programs.
    kind: str
    # Empty if it is about no service.
    service: str
    # What happened in a few words: the subject.
    headline: Text
    # The error or the reason in one sentence.
    sentence: Text = ""
    # Shown in the time zone of the value.
    since: datetime | None = None
    # Label and value, such as ("Pulled", "120"); a time is shown as `since` is.
    details: Sequence[tuple[Text, Text | datetime]] = ()
    # Link to the run or the problem; see `absolute_url`.
    url: str = ""
    # What the message is about, such as `incident 17`.
    reference: str = ""
    # Two messages of the same key are sent to a channel once.
    key: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(frozen=True)
class RenderedMessage:
    """A message in one language."""

    subject: str
    text: str
    html: str
    payload: dict[str, Any]


def render_message(message: Message, language: str) -> RenderedMessage:
    """The message as subject, plain text, HTML, and JSON of webhooks."""
    with translation.override(language):
        service = one_line(message.service)
        headline = one_line(message.headline)
        sentence = _cut(str(message.sentence), _TEXT_CHARACTERS)
        details = [(str(label), _shown_value(value)) for label, value in message.details]
        context = {
            "service": service,
            "headline": headline,
            "sentence": sentence,
            "since": _shown_time(message.since) if message.since else "",
            "details": details,
            "url": message.url,
            "language": language,
        }
        subject = f"{service}: {headline}" if service else headline
        return RenderedMessage(
            subject=_cut(f"[Synclog] {subject}", _SUBJECT_CHARACTERS),
            text=render_to_string("alerts/message.txt", context).strip() + "\n",
            html=render_to_string("alerts/message.html", context),
            payload={
                "type": f"alert.{message.kind}",
                "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
                "data": {
                    "service": service,
                    "headline": headline,
                    "sentence": sentence,
                    "since": message.since.astimezone(UTC).isoformat() if message.since else None,
                    "details": dict(details),
                    "url": message.url,
                    "reference": message.reference,
                },
            },
        )


def one_line(text: Text) -> str:
    """The text without line breaks and other control characters, which would begin a new header."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _shown_value(value: Text | datetime) -> str:
    return _shown_time(value) if isinstance(value, datetime) else _cut(str(value), _TEXT_CHARACTERS)


def _shown_time(moment: datetime) -> str:
    """Date and time in the time zone of `moment`, and its name."""
    return f"{date_format(moment, 'DATETIME_FORMAT')} {moment.tzname()}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
