"""Preview of a payload: its beginning, or the part around a record, in readable form."""

from __future__ import annotations

from contextlib import closing
from typing import IO, Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.payloads.links import curl_command, payload_state
from apps.console.payloads.record_place import Part, RecordPattern, lines_of, read_part, row_of
from apps.console.ui.ansi import message_html
from apps.console.ui.formatting import number_text, size_text
from apps.console.ui.preview_text import MAX_BYTES, make_preview
from apps.services.models import Service


def payload_preview(request: HttpRequest, site: AdminSite, payload: Any, stream: IO[bytes]) -> HttpResponse:
    """Page of a payload with `state`, at the record with the key `?record=`; closes the stream after reading it."""
    key = request.GET.get("record", "")
    pattern = RecordPattern(key, _id_fields(payload.service)) if key else None
    with closing(stream):
        part = read_part(stream, pattern)
    preview = make_preview(
        part.data, content_type=payload.content_type, name=payload.name, is_whole=part.is_whole, key=key
    )
    # Files have no colours.
    text = preview.text.replace("\x1b", "\u241b")
    place = pattern.place_in(text) if pattern and preview.shape == "text" else None
    row = row_of(preview, key) if key else None
    notes = [*_notes(payload, part), *preview.notes]
    if key and place is None and row is None:
        notes.insert(0, _("The record %(key)s was not found here.") % {"key": key})
    context = {
        **site.each_context(request),
        "title": payload.name,
        "payload": payload,
        "run": payload.run,
        "preview": preview,
        "notes": notes,
        "text": _html(text, place),
        "row": row,
        "size": size_text(payload.size),
        "state": payload_state(payload, timezone.now())[1],
        "curl": curl_command(payload.pk, f"{request.scheme}://{request.get_host()}"),
    }
    return TemplateResponse(request, "console/payload_preview.html", context)


def _id_fields(service: Service) -> list[str]:
    """Names of the members that hold the key of a record, for expressions that end with a name."""
    options = (service.source_options, service.destination_options)
    expressions = ("id", *(str(option.get("id_field") or "id") for option in options))
    names = (expression.rpartition(".")[2].strip('"') for expression in expressions)
    return list(dict.fromkeys(name for name in names if name.replace("-", "_").isidentifier()))


def _notes(payload: Any, part: Part) -> list[str]:
    if part.is_whole:
        return []
    size = size_text(payload.size)
    if part.offset:
        text = _(
            "This is the part around the record, from byte %(offset)s of %(size)s; download the whole file."
        )
        return [text % {"offset": number_text(part.offset), "size": size}]
    return [
        _("These are the first %(part)s of %(size)s; download the file for the rest.")
        % {"part": f"{MAX_BYTES // 1024} KiB", "size": size}
    ]


def _html(text: str, place: tuple[int, int] | None) -> SafeString:
    """Escapes the text, shows invisible characters, and marks the record."""
    if place is None:
        return SafeString(message_html(text))
    first, last = lines_of(text, place[1] - 1)
    # The block of the record ends its last line.
    rest = text[last:].removeprefix("\n")
    return format_html(
        '{}<mark class="preview-record" id="record">{}</mark>{}',
        *(SafeString(message_html(part)) for part in (text[:first], text[first:last], rest)),
    )
