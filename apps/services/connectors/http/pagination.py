"""Pagination of HTTP sources: the next page, and protection against endless pulls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urljoin

from jmespath.exceptions import JMESPathError
from requests.utils import parse_header_links

from apps.services.connectors.base import ConnectorError
from apps.services.definition.connection_url import without_secrets
from apps.services.definition.http_options import Cursors, HttpSource, Links, Offsets, PageNumbers


@dataclass(frozen=True)
class PageRequest:
    """Request for one page: its URL and its position."""

    url: str
    # Page number, offset, cursor or link.
    position: str | int = ""


@dataclass(frozen=True)
class PageResponse:
    """The part of a response that the next page depends on."""

    url: str
    record_count: int
    document: Any
    headers: Mapping[str, str]


class Pagination:
    """Sequence of requests for the pages of one source."""

    def __init__(self, source: HttpSource, url: str, page_size: int) -> None:
        self._source = source
        self._url = url
        self._page_size = page_size

    def first(self) -> PageRequest:
        match self._source.pagination:
            case PageNumbers(page_param=page_param, size_param=size_param, first=first):
                return self._numbered(page_param, first, size_param)
            case Offsets(offset_param=offset_param, size_param=size_param):
                return self._numbered(offset_param, 0, size_param)
            case Cursors(size_param=size_param) | Links(size_param=size_param):
                return PageRequest(self._address(self._sized(size_param)))
            case _:
                return PageRequest(self._address({}))

    def after(self, request: PageRequest, pulled: PageResponse) -> PageRequest | None:
        """The request for the page after `request`, None after the last page. Raises ConnectorError."""
        match self._source.pagination:
            case PageNumbers(page_param=page_param, size_param=size_param):
                if self._is_last(pulled, size_param):
                    return None
                return self._numbered(page_param, int(request.position) + 1, size_param)
            case Offsets(offset_param=offset_param, size_param=size_param):
                if self._is_last(pulled, size_param):
                    return None
                return self._numbered(offset_param, int(request.position) + pulled.record_count, size_param)
            case Cursors() as cursors:
                return self._at_cursor(cursors, pulled)
            case Links():
                link = next_link(pulled)
                return PageRequest(link, link) if link else None
            case _:
                return None

    def _is_last(self, pulled: PageResponse, size_param: str) -> bool:
        """Whether the page is empty, or short although its size was requested and no Link header names another
        page.
        """
        is_short = bool(size_param) and pulled.record_count < self._page_size
        return pulled.record_count == 0 or (is_short and not next_link(pulled))

    def _at_cursor(self, cursors: Cursors, pulled: PageResponse) -> PageRequest | None:
        shown = without_secrets(pulled.url)
        try:
            cursor = cursors.cursor.search(pulled.document)
        except JMESPathError as error:
            raise ConnectorError(
                f"The cursor “{cursors.cursor.text}” fails on GET {shown}: {error}."
            ) from None
        if cursor is None or cursor is False or cursor == "":
            return None
        if isinstance(cursor, bool) or not isinstance(cursor, str | int | float):
            raise ConnectorError(
                f"The cursor “{cursors.cursor.text}” matches no text or number in the response of GET "
                f"{shown}."
            )
        url = self._address({cursors.param: str(cursor), **self._sized(cursors.size_param)})
        return PageRequest(url, str(cursor))

    def _numbered(self, param: str, position: int, size_param: str) -> PageRequest:
        return PageRequest(self._address({param: str(position), **self._sized(size_param)}), position)

    def _sized(self, size_param: str) -> dict[str, str]:
        return {size_param: str(self._page_size)} if size_param else {}

    def _address(self, position: Mapping[str, str]) -> str:
        return with_parameters(self._url, {**self._source.params, **position})


class RepetitionGuard:
    """Detects repeated pages with constant memory.

    A position is compared with the previous one and with a milestone that moves at each power of two (Brent's cycle
    detection), a body with the previous one.
    """

    def __init__(self) -> None:
        self._body = b""
        self._position: str | int = ""
        self._milestone: str | int = ""
        self._count = 0
        self._next_milestone = 1

    def check_body(self, body: bytes, record_count: int, origin: str) -> None:
        """Raises ConnectorError if the page has records and equals the previous page byte for byte."""
        digest = sha256(body).digest()
        if record_count and digest == self._body:
            raise ConnectorError(
                f"{origin} returned the same page as the previous request, so the pull would never end. "
                "Check “pagination”: the source may use other parameter names."
            )
        self._body = digest

    def check_position(self, request: PageRequest) -> None:
        """Raises ConnectorError if the cursor or link of the next page was used before."""
        if not request.position and request.position != 0:
            return
        if request.position in (self._position, self._milestone):
            raise ConnectorError(
                f"GET {without_secrets(request.url)} was pulled before: the source repeats the next page, "
                "so the pull would never end. Check “pagination”, especially the cursor."
            )
        self._count += 1
        self._position = request.position
        if self._count == self._next_milestone:
            self._milestone = request.position
            self._next_milestone *= 2


def join(base: str, path: str) -> str:
    """`path` appended to `base`, always with a slash, so that a path never becomes part of a host name."""
    if not path:
        return base
    if path.startswith("?"):
        return f"{base}{path}"
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    if not parameters:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def next_link(pulled: PageResponse) -> str | None:
    """The absolute URL of rel=next in the Link header."""
    for link in parse_header_links(pulled.headers.get("Link", "")):
        if "next" in link.get("rel", "").lower().split() and link.get("url"):
            try:
                return urljoin(pulled.url, link["url"])
            except ValueError:
                raise ConnectorError(
                    f"The Link header of GET {without_secrets(pulled.url)} contains an invalid URL."
                ) from None
    return None
