"""File names and content types of clients and source systems, made safe for headers."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from django.core.exceptions import ValidationError
from django.urls.converters import StringConverter
from django.utils.translation import gettext as _

# File systems allow 255 bytes of UTF-8, and a browser may append " (1)" and a suffix.
_MAX_DOWNLOAD_NAME_BYTES = 200
# Length of the column.
_MAX_NAME_LENGTH = 255
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:;[ \t]*[\w-]+=[\w.+-]+)*", re.A)


class RestOfPathConverter(StringConverter):
    """The rest of a path including line feeds, so that the view can report an invalid name."""

    regex = r"[\s\S]+"


def check_name(name: str) -> None:
    """Raises ValidationError unless `name` is a plain file name. It is stored as text, never used as a path."""
    if len(name) > _MAX_NAME_LENGTH:
        raise ValidationError(_("Too long; write at most %(most)d characters.") % {"most": _MAX_NAME_LENGTH})
    if "/" in name or "\\" in name or name.strip(" .") == "":
        raise ValidationError(_("Folders are not allowed; write a plain file name."))
    if not all(_is_harmless(character) for character in name):
        raise ValidationError(_("Control and text direction characters are not allowed; remove them."))


def download_name(name: str) -> str:
    """The last part of a path without control and formatting characters, cut to 200 bytes before its suffix."""
    last_part = re.split(r"[/\\]", name)[-1]
    clean = "".join(character if _is_harmless(character) else "_" for character in last_part)
    path = PurePosixPath(clean.strip(" .") or "payload")
    suffix = path.suffix if len(path.suffix.encode()) <= 20 else ""
    stem = path.name.removesuffix(suffix).encode()[: _MAX_DOWNLOAD_NAME_BYTES - len(suffix.encode())]
    return stem.decode(errors="ignore") + suffix


def media_type(content_type: str) -> str:
    """The content type if it is valid, otherwise application/octet-stream."""
    return content_type if _MEDIA_TYPE.fullmatch(content_type) else "application/octet-stream"


def _is_harmless(character: str) -> bool:
    """Whether a character is neither a control or formatting character nor a lone surrogate."""
    return not unicodedata.category(character).startswith("C")
