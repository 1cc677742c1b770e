"""Pagination of HTTP sources: the next page, and protection against endless pulls."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urljoin

from jmespath.exceptions import JMESPathError
from requests.utils import parse_header_links

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.http.client import is_same_system
from apps.services.connectors.http.messages import HttpRequest
from apps.services.connectors.http.request_template import RequestTemplate, Values
from apps.services.definition.connection_url import without_secrets
from apps.services.definition.expression import Expression
from apps.services.definition.pagination_options import (
    Cursors,
    Links,
    NextUrls,
    Offsets,
    PageNumbers,
    SinglePage,
)
from apps.services.definition.pagination_options import Pagination as PaginationOptions

logger = logging.getLogger(__name__)

_MAX_URL_LENGTH = 32_768
MAX_EMPTY_PAGES = 1000
# Texts that some sources send for false.
_FALSE_TEXTS = ("", "0", "false", "no")


@dataclass(frozen=True)
class PageRequest:
    """Request for one page and its position."""

    request: HttpRequest
    # Page number, offset, cursor or URL; None for the first page if it has none.
    position: str | int | float | None = None


@dataclass(frozen=True)
class PageResponse:
    """The part of a response that the next page depends on."""

    # The request for the log: `GET https://shop/orders`.
    origin: str
    url: str
    record_count: int
    document: Any
    headers: Mapping[str, str]


class Pagination:
    """Sequence of requests for the pages of one source."""

    def __init__(
        self,
        options: PaginationOptions,
        template: RequestTemplate,
        *,
        home: str,
        page_size: int,
        values: Values,
    ) -> None:
        """`values` are those of the placeholders that do not depend on the page."""
        self._options = options
        self._template = template
        self._home = home
        self._page_size = page_size
        self._values = {**values, "size": page_size}
        self._left_home = False

    def first(self) -> PageRequest:
        match self._options:
            case PageNumbers(page_param=param, first=first):
                return self._positioned("page", param, first)
            case Offsets(offset_param=param):
                return self._positioned("offset", param, 0)
            case Links() | NextUrls():
                request = self._template.request(self._values, self._size())
                return PageRequest(request, request.url)
            case _:
                return PageRequest(self._template.request(self._values, self._size()))

    def after(self, request: PageRequest, pulled: PageResponse) -> PageRequest | None:
        """The request for the page after `request`, None after the last page. Raises ConnectorError."""
        following = self._following(request, pulled)
        if following and following.position == request.position and not pulled.record_count:
            # An empty page that names itself as the next one.
            return None
        return following

    def _following(self, request: PageRequest, pulled: PageResponse) -> PageRequest | None:
        match self._options:
            case PageNumbers(page_param=param):
                number = int(request.position or 0)
                return None if self._is_last(number, pulled) else self._positioned("page", param, number + 1)
            case Offsets(offset_param=param):
                offset = int(request.position or 0)
                return (
                    None
                    if self._is_last(offset, pulled)
                    else self._positioned("offset", param, offset + pulled.record_count)
                )
            case Cursors() as cursors:
                return self._at_cursor(cursors, pulled)
            case Links():
                return self._at_url(next_link(pulled), pulled)
            case NextUrls(next_url=next_url):
                return self._at_url(_search("next_url", next_url, pulled), pulled)
            case _:
                return None

    def _is_last(self, position: int, pulled: PageResponse) -> bool:
        """Whether the source says so; if it says nothing, whether the page is empty, or short although its size was
        requested and no Link header names another page.
        """
        options = self._options
        if isinstance(options, PageNumbers) and options.total_pages:
            return position - options.first + 1 >= _total_pages(options.total_pages, pulled)
        if isinstance(options, PageNumbers | Offsets) and options.has_more:
            return not _has_more(options.has_more, pulled)
        is_short = self._sends_size and pulled.record_count < self._page_size
        return pulled.record_count == 0 or (is_short and not next_link(pulled))

    def _at_cursor(self, cursors: Cursors, pulled: PageResponse) -> PageRequest | None:
        has_more = _has_more(cursors.has_more, pulled) if cursors.has_more else None
        if has_more is False:
            return None
        if cursors.cursor is None:
            place = f"the header {cursors.cursor_header}"
            cursor: Any = pulled.headers.get(cursors.cursor_header)
        else:
            place = f"“{cursors.cursor.text}”"
            cursor = _search("cursor", cursors.cursor, pulled)
        if cursor is None or cursor is False or cursor == "":
            if has_more:
                raise ConnectorError(
                    f"{pulled.origin}: the response says that there are more pages, but has no cursor at {place}. "
                    "Check “pagination”."
                )
            return None
        if isinstance(cursor, bool) or not isinstance(cursor, str | int | float):
            raise ConnectorError(f"{pulled.origin}: the cursor at {place} is not text or a number.")
        return self._positioned("cursor", cursors.param, cursor)

    def _at_url(self, link: Any, pulled: PageResponse) -> PageRequest | None:
        """The request to an absolute or relative URL. The client sends no credentials to other systems."""
        if link is None or link is False or link == "":
            return None
        if not isinstance(link, str):
            raise ConnectorError(f"{pulled.origin}: the URL of the next page is not text.")
        if len(link) > _MAX_URL_LENGTH:
            raise ConnectorError(
                f"{pulled.origin}: the URL of the next page has {len(link):,} characters, more than "
                f"{_MAX_URL_LENGTH:,}."
            )
        try:
            url = urljoin(pulled.url, link)
            is_home = is_same_system(self._home, url)
        except ValueError:
            raise ConnectorError(f"{pulled.origin}: the URL of the next page is invalid.") from None
        if not is_home and not self._left_home:
            logger.warning(
                "%s: the next page is on another system, which gets no credentials: %s",
                pulled.origin,
                without_secrets(url)[:500],
            )
        self._left_home = not is_home
        request = self._template.request_to(url, self._values)
        if request.body is not None and not is_home:
            raise ConnectorError(
                f"{pulled.origin}: the next page is on another system ({without_secrets(url)[:500]}), to which the "
                "body is not sent. Check “pagination”."
            )
        return PageRequest(request, url)

    def _positioned(self, name: str, param: str, position: str | int | float) -> PageRequest:
        """The request with `position` in the placeholder `name` if there is one, otherwise in `param`."""
        parameters = {} if name in self._template.placeholders else {param: str(position)}
        values = {**self._values, name: position}
        return PageRequest(self._template.request(values, {**parameters, **self._size()}), position)

    def _size(self) -> dict[str, str]:
        param = "" if isinstance(self._options, SinglePage) else self._options.size_param
        if not param or "size" in self._template.placeholders:
            return {}
        return {param: str(self._page_size)}

    @property
    def _sends_size(self) -> bool:
        return bool(self._size()) or "size" in self._template.placeholders


class RepetitionGuard:
    """Detects repeated pages with constant memory.

    A position is compared with the previous one and with a milestone that moves at each power of two (Brent's cycle
    detection), a body with the previous one.
    """

    def __init__(self) -> None:
        self._body = b""
        self._position = ""
        self._checkpoint = ""
        self._count = 0
        self._next_checkpoint = 1
        self._empty_count = 0

    def check_body(self, body: bytes, record_count: int, origin: str) -> None:
        """Raises ConnectorError if the page has records and equals the previous page byte for byte, or if too many
        pages in a row are empty.
        """
        digest = sha256(body).digest()
        if record_count and digest == self._body:
            raise ConnectorError(
                f"{origin} returned the same page as the previous request, so the pull would never end. "
                "Check “pagination”: the source may use other parameter names."
            )
        self._body = digest
        self._empty_count = 0 if record_count else self._empty_count + 1
        if self._empty_count > MAX_EMPTY_PAGES:
            raise ConnectorError(
                f"{origin}: more than {MAX_EMPTY_PAGES:,} pages in a row are empty, so the pull might never end. "
                "Check “pagination”."
            )

    def check_position(self, page: PageRequest) -> None:
        """Raises ConnectorError if the cursor or URL of the next page was used before."""
        if page.position is None:
            return
        position = str(page.position)
        if position in (self._position, self._checkpoint):
            raise ConnectorError(
                f"{page.request} was pulled before: the source repeats the next page, so the pull would never "
                "end. Check “pagination”, especially the cursor."
            )
        self._count += 1
        self._position = position
        if self._count == self._next_checkpoint:
            self._checkpoint = position
            self._next_checkpoint *= 2


def next_link(pulled: PageResponse) -> str | None:
    """The URL of rel=next in the Link header, absolute or relative."""
    for link in parse_header_links(pulled.headers.get("Link", "")):
        if "next" in link.get("rel", "").lower().split() and link.get("url"):
            return str(link["url"])
    return None


def _search(name: str, expression: Expression, pulled: PageResponse) -> Any:
    try:
        return expression.search(pulled.document)
    except (JMESPathError, RecursionError) as error:
        raise ConnectorError(
            f"{pulled.origin}: “{expression.text}” ({name}) fails on the response: "
            f"{error or 'nested too deeply'}."
        ) from None


def _has_more(expression: Expression, pulled: PageResponse) -> bool:
    """Raises ConnectorError if the response does not say: it might have more pages."""
    found = _search("has_more", expression, pulled)
    if found is None:
        raise ConnectorError(
            f"{pulled.origin}: the response does not say at “{expression.text}” (has_more) whether there are more "
            f"pages. If the last page leaves it out, write “{expression.text} || `false`”."
        )
    return found.strip().lower() not in _FALSE_TEXTS if isinstance(found, str) else bool(found)


def _total_pages(expression: Expression, pulled: PageResponse) -> int:
    """A number or its text. Raises ConnectorError for anything else."""
    found = _search("total_pages", expression, pulled)
    if isinstance(found, str | int | float) and not isinstance(found, bool):
        try:
            return int(float(found)) if isinstance(found, float) else int(found)
        except (ValueError, OverflowError):
            pass
    raise ConnectorError(
        f"{pulled.origin}: the response has no number of pages at “{expression.text}” (total_pages). Correct it, or "
        "remove it to pull up to an empty page."
    )
