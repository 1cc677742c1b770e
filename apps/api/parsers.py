"""Reads the bodies of requests, and no more of them than there can be sense in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser

from apps.api.problems import BodyTooLarge

NDJSON = "application/x-ndjson"
_MIB = 1024 * 1024


class BoundedJSONParser(BaseParser):
    """JSON of at most 64 KiB. No JSONParser by descent: that one's bodies are held to Django's own limit."""

    media_type = JSONParser.media_type
    max_bytes = 64 * 1024

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = bounded(stream, self.max_bytes)
        try:
            return JSONParser().parse(BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The body is nested too deeply.")) from None
        # Such as a number of 5,000 digits.
        except ValueError as error:
            raise ParseError(str(error)) from None


class LinesJSONParser(BoundedJSONParser):
    """The lines of a log as one JSON document."""

    max_bytes = 8 * _MIB


class NdjsonParser(BaseParser):
    """The lines of a log as JSON, a line each; bytes that are no UTF-8 come through as lone surrogates."""

    media_type = NDJSON

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, list[Any]]:
        text = bounded(stream, LinesJSONParser.max_bytes).decode(errors="surrogateescape")
        lines = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line or line.isspace():
                continue
            try:
                lines.append(json.loads(line))
            except (ValueError, RecursionError):
                raise ParseError(_("Line %(number)d is not JSON.") % {"number": number}) from None
        return {"lines": lines}


class AnyParser(BaseParser):
    """Lets every body through unread: the view reads it as a stream."""

    media_type = "*/*"


def bounded(stream: IO[Any], max_bytes: int) -> bytes:
    """The whole body. Raises BodyTooLarge where that is more than `max_bytes`."""
    body: bytes = stream.read(max_bytes + 1)
    if len(body) > max_bytes:
        size = f"{max_bytes // _MIB} MiB" if max_bytes >= _MIB else f"{max_bytes // 1024} KiB"
        raise BodyTooLarge(_("The body may hold %(size)s at most.") % {"size": size})
    return body
