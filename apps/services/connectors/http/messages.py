"""Requests and responses."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from apps.services.connectors.base import Body
from apps.services.connectors.formats.documents import charset_of, excerpt
from apps.services.definition.connection_url import without_secrets

_EXTENSIONS = {
    "application/json": ".json",
    "application/problem+json": ".json",
    "application/xml": ".xml",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/xml": ".xml",
}
_CHARSET = re.compile(r"[0-9a-z_.-]{1,40}")
_DEFAULT_CHARSETS = ("utf-8", "utf8")


@dataclass(frozen=True)
class HttpRequest:
    """A request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    # Statuses that are not retried.
    final_statuses: Collection[int] = ()
    # Statuses that are retried besides temporary ones.
    retried_statuses: Collection[int] = ()
    # Bytes of the response that are read, the rest is ignored; None = all, and a limit that raises.
    max_response_bytes: int | None = None

    def __str__(self) -> str:
        return f"{self.method} {without_secrets(self.url)}"

    def as_body(self) -> Body | None:
        return None if self.body is None else Body.of_bytes(self.body, "application/json", ".json")


@dataclass(frozen=True)
class HttpResponse:
    """A response, decompressed; `url` is the address after redirects."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def status_line(self) -> str:
        return f"{self.status} {self.reason}".rstrip()

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str:
        return charset_of(self.headers.get("Content-Type", ""))

    @property
    def excerpt(self) -> str:
        """The beginning of the content on one line."""
        return excerpt(self.content, charset=self.charset)

    def as_body(self) -> Body:
        content_type = self.content_type or "application/octet-stream"
        extension = _EXTENSIONS.get(content_type, ".json" if content_type.endswith("+json") else ".bin")
        charset = self.charset.lower()
        if _CHARSET.fullmatch(charset) and charset not in _DEFAULT_CHARSETS:
            content_type += f"; charset={charset}"
        return Body.of_bytes(self.content, content_type, extension)
