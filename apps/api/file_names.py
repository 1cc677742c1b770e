"""Names and types that came from outside, made fit for the headers of a download."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from django.core.exceptions import ValidationError
from django.urls.converters import StringConverter
from django.utils.translation import gettext as _

# Bytes in UTF-8; file systems take 255, and a browser may add " (1)" and its own ending.
_LONGEST_NAME = 200
# What a row takes.
_MOST_CHARACTERS = 255
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:;[ \t]*[\w-]+=[\w.+-]+)*", re.A)


class AnythingConverter(StringConverter):
    """All of what is left of a path, line feeds too: the view says what is wrong with a name."""

    regex = r"[\s\S]+"


def check_name(name: str) -> None:
    """Raises ValidationError where `name` is no plain name of a file; it is data, and never part of a path."""
    if len(name) > _MOST_CHARACTERS:
        raise ValidationError(_("Write a name of at most %(most)d characters.") % {"most": _MOST_CHARACTERS})
    if "/" in name or "\\" in name or name.strip(" .") == "":
        raise ValidationError(_("Write a plain name, without folders."))
    if not all(_is_harmless(character) for character in name):
        raise ValidationError(
            _("Write a name without control characters and without those that turn the direction of text.")
        )


def download_name(name: str) -> str:
    """The last part of a path, without control and formatting characters, cut at 200 bytes before its ending."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(character if _is_harmless(character) else "_" for character in last)
    path = PurePosixPath(clean.strip(" .") or "payload")
    ending = path.suffix if len(path.suffix.encode()) <= 20 else ""
    stem = path.name.removesuffix(ending).encode()[: _LONGEST_NAME - len(ending.encode())]
    return stem.decode(errors="ignore") + ending


def media_type(content_type: str) -> str:
    """The type as it was given, if it is one."""
    return content_type if _MEDIA_TYPE.fullmatch(content_type) else "application/octet-stream"


def _is_harmless(character: str) -> bool:
    """Neither a control character, nor one that turns the direction of text, nor half a surrogate pair."""
    return not unicodedata.category(character).startswith("C")
