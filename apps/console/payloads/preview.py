"""Preview of a payload: its beginning in readable form."""

from __future__ import annotations

from contextlib import closing
from typing import IO, Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.payloads.links import curl_command, payload_state
from apps.console.payloads.preview_text import MAX_BYTES, make_preview
from apps.console.ui.ansi import message_html
from apps.console.ui.formatting import size_text


def payload_preview(request: HttpRequest, site: AdminSite, payload: Any, stream: IO[bytes]) -> HttpResponse:
    """Page of a payload with `state`; closes the stream after reading its beginning."""
    data, is_whole = _beginning(stream)
    preview = make_preview(data, content_type=payload.content_type, name=payload.name, is_whole=is_whole)
    notes = list(preview.notes)
    if not is_whole:
        notes.insert(
            0,
            _("These are the first %(part)s of %(size)s; download the file for the rest.")
            % {"part": f"{MAX_BYTES // 1024} KiB", "size": size_text(payload.size)},
        )
    context = {
        **site.each_context(request),
        "title": payload.name,
        "payload": payload,
        "run": payload.run,
        "preview": preview,
        "notes": notes,
        # Escapes the text and shows invisible characters; files have no colours.
        "text": SafeString(message_html(preview.text.replace("\x1b", "\u241b"))),
        "size": size_text(payload.size),
        "state": payload_state(payload, timezone.now())[1],
        "curl": curl_command(payload.pk, f"{request.scheme}://{request.get_host()}"),
    }
    return TemplateResponse(request, "console/payload_preview.html", context)


def _beginning(stream: IO[bytes]) -> tuple[bytes, bool]:
    """At most 256 KiB, and whether that is everything; some stores return less than requested."""
    data = b""
    with closing(stream):
        while len(data) <= MAX_BYTES and (part := stream.read(MAX_BYTES + 1 - len(data))):
            data += part
    return data[:MAX_BYTES], len(data) <= MAX_BYTES
