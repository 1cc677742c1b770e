"""File names and content types from outside, made safe for headers."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from django.core.exceptions import ValidationError
from django.urls.converters import StringConverter
from django.utils.translation import gettext as _

# Bytes in UTF-8: file systems allow 255, and a browser may append " (1)" and a suffix.
_LONGEST_NAME = 200
# Length of the column.
_MOST_CHARACTERS = 255
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:;[ \t]*[\w-]+=[\w.+-]+)*", re.A)


class RestOfPathConverter(StringConverter):
    """The rest of a path including line feeds, so that the view can report an invalid name."""

    regex = r"[\s\S]+"


def check_name(name: str) -> None:
    """Raises ValidationError unless `name` is a plain file name. It is data and never part of a path."""
    if len(name) > _MOST_CHARACTERS:
        raise ValidationError(_("Too long; write at most %(most)d characters.") % {"most": _MOST_CHARACTERS})
    if "/" in name or "\\" in name or name.strip(" .") == "":
        raise ValidationError(_("Folders are not allowed; write a plain file name."))
    if not all(_is_harmless(character) for character in name):
        raise ValidationError(_("Control and text direction characters are not allowed; remove them."))


def download_name(name: str) -> str:
    """The last part of a path without control and formatting characters, cut to 200 bytes before its suffix."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(character if _is_harmless(character) else "_" for character in last)
    path = PurePosixPath(clean.strip(" .") or "payload")
    ending = path.suffix if len(path.suffix.encode()) <= 20 else ""
    stem = path.name.removesuffix(ending).encode()[: _LONGEST_NAME - len(ending.encode())]
    return stem.decode(errors="ignore") + ending


def media_type(content_type: str) -> str:
    """The given content type if it is valid."""
    return content_type if _MEDIA_TYPE.fullmatch(content_type) else "application/octet-stream"


def _is_harmless(character: str) -> bool:
    """Whether a character is neither a control or text direction character nor half a surrogate pair."""
    return not unicodedata.category(character).startswith("C")
