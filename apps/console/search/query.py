"""What a text in the search box may mean."""

from __future__ import annotations

import re
from dataclasses import dataclass

from apps.runs.records.keys import key_text

# Characters.
MAX_LENGTH = 1000
# Shorter beginnings of a digest would find payloads by chance.
MIN_DIGEST_LENGTH = 8
_DIGEST_LENGTH = 64


@dataclass(frozen=True)
class SearchQuery:
    """A text, read as a run number, a record key, a name and a digest."""

    text: str
    # None if the text is not a number.
    run_number: int | None
    # Exact key, or the beginning of keys.
    key: str
    is_prefix: bool
    # Part of the name of a service or connection.
    name: str
    # Beginning of a SHA-256; empty if the text is none.
    digest: str

    @classmethod
    def from_text(cls, text: str) -> SearchQuery:
        is_prefix = len(text) > 1 and text.endswith("*")
        # Cleaned like stored keys: no database accepts NUL.
        key = key_text(text[:-1] if is_prefix else text)
        number = text.removeprefix("#")
        digest = text.lower()
        return cls(
            text=key_text(text),
            run_number=int(number) if re.fullmatch("[0-9]{1,18}", number) else None,
            key=key,
            is_prefix=is_prefix,
            name=key,
            digest=digest
            if re.fullmatch(f"[0-9a-f]{{{MIN_DIGEST_LENGTH},{_DIGEST_LENGTH}}}", digest)
            else "",
        )

    @property
    def is_whole_digest(self) -> bool:
        return len(self.digest) == _DIGEST_LENGTH
