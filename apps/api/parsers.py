"""Reads the bodies of requests, and no more of them than there can be sense in."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from apps.api.problems import BodyTooLarge

MOST_BYTES = 64 * 1024


class BoundedJSONParser(JSONParser):
    """JSON of at most 64 KiB; Django's own limit does not hold for a body that is read as a stream."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise BodyTooLarge(_("The body may hold 64 KiB at most."))
        try:
            return super().parse(BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The body is nested too deeply.")) from None
