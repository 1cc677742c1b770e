"""Paths with fields of the record, such as /items/{id}."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from apps.services.connectors.base import Record
from apps.services.definition.path_types import fields_in


class RecordRefused(Exception):
    """The record cannot be sent: the reason."""


class RecordPath:
    """URL with the names of fields in braces."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fields = fields_in(url)

    def url_for(self, record: Record) -> str:
        """Raises RecordRefused unless every field is a text or number that stays one segment of the path."""
        url = self.url
        for name in self.fields:
            url = url.replace(f"{{{name}}}", quote(_text_of(record, name), safe=""))
        return url


def _text_of(record: Record, name: str) -> str:
    if not isinstance(record, dict) or name not in record:
        raise RecordRefused(f"The field “{name}” of the path is missing in the record.")
    value: Any = record[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kinds = {dict: "an object", list: "a list", bool: "true or false"}
        raise RecordRefused(
            f"The field “{name}” of the path is {kinds.get(type(value), 'null')}; it must be text or a number."
        )
    text = str(value)
    if not text.strip():
        raise RecordRefused(f"The field “{name}” of the path is empty.")
    # Slashes are encoded, but a server may decode them before it looks for dots.
    if {".", ".."} & set(re.split(r"[/\\]", text)):
        raise RecordRefused(
            f"The field “{name}” of the path is “{text[:100]}”, which would lead to another path."
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RecordRefused(f"The field “{name}” of the path contains half of a surrogate pair.") from None
    return text
