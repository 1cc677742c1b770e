"""Parsers of request bodies with a size limit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser

from apps.api.http.problems import BodyTooLarge

NDJSON = "application/x-ndjson"
_MIB = 1024 * 1024


class LimitedJSONParser(BaseParser):
    """JSON of at most 64 KiB. DRF's own parser has Django's limit, which is for forms."""

    media_type = JSONParser.media_type
    max_bytes = 64 * 1024

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = read_body(stream, self.max_bytes)
        try:
            return JSONParser().parse(BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The body is nested too deeply; flatten it.")) from None
        # For example a number of 5,000 digits.
        except ValueError as error:
            raise ParseError(str(error)) from None


class LinesJSONParser(LimitedJSONParser):
    """Log lines, records or keys in one JSON document."""

    max_bytes = 8 * _MIB


class NdjsonParser(BaseParser):
    """Log lines as NDJSON. Invalid UTF-8 becomes lone surrogates, which the log shows escaped."""

    media_type = NDJSON
    # Name of the list.
    name = "lines"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, list[Any]]:
        text = read_body(stream, LinesJSONParser.max_bytes).decode(errors="surrogateescape")
        lines = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line or line.isspace():
                continue
            try:
                lines.append(json.loads(line))
            except (ValueError, RecursionError):
                message = _("Line %(number)d is not JSON; write one object per line.") % {"number": number}
                raise ParseError(message) from None
        return {self.name: lines}


class RecordsNdjsonParser(NdjsonParser):
    """Records as NDJSON."""

    name = "records"


class StreamParser(BaseParser):
    """Does not read the body; the view reads it as a stream."""

    media_type = "*/*"


def read_body(stream: IO[Any], max_bytes: int) -> bytes:
    """The whole body. Raises BodyTooLarge if it exceeds `max_bytes`."""
    body: bytes = stream.read(max_bytes + 1)
    if len(body) > max_bytes:
        size = f"{max_bytes // _MIB} MiB" if max_bytes >= _MIB else f"{max_bytes // 1024} KiB"
        raise BodyTooLarge(_("The body is limited to %(size)s; send less at once.") % {"size": size})
    return body
