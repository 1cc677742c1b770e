"""Options of the pagination of an HTTP source."""

from __future__ import annotations

from typing import Literal

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import Field, ValidationInfo, field_validator

from apps.services.definition.option_types import (
    HeaderName,
    JMESPath,
    Options,
    Statuses,
    Text,
    WholeNumber,
)


class _Pages(Options):
    """Options of every type of pagination."""

    end_status: Statuses = Field(
        (),
        title=_("Statuses that end the pull"),
        description=_("Statuses of the response after the last page, such as 404. 204 always ends the pull."),
    )


class _Sized(_Pages):
    size_param: Text = Field(
        "",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )


class _Ended(_Sized):
    has_more: JMESPath | None = Field(
        None,
        title=_("More pages"),
        description=_("JMESPath that is false on the last page, such as meta.has_more."),
    )


class SinglePage(_Pages):
    """One request fetches everything."""

    type: Literal["none"] = "none"


class PageNumbers(_Ended):
    """`?page=1`, `?page=2` … up to an empty or short page."""

    type: Literal["page"] = "page"
    page_param: Text = Field(
        "page",
        title=_("Page parameter"),
        description=_("Parameter with the page number, unless the request contains {page} elsewhere."),
    )
    first: WholeNumber = Field(
        1, ge=0, le=10**9, title=_("First page"), description=_("Number of the first page.")
    )
    total_pages: JMESPath | None = Field(
        None,
        title=_("Number of pages"),
        description=_("JMESPath to the number of pages, such as meta.pages."),
    )


class Offsets(_Ended):
    """`?offset=0`, `?offset=100` … up to an empty or short page."""

    type: Literal["offset"] = "offset"
    offset_param: Text = Field(
        "offset",
        title=_("Offset parameter"),
        description=_("Parameter with the offset, unless the request contains {offset} elsewhere."),
    )
    size_param: Text = Field(
        "limit",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )


class Cursors(_Ended):
    """Each response contains the cursor of the next page; a missing or empty one ends the pull."""

    type: Literal["cursor"] = "cursor"
    cursor_header: HeaderName = Field(
        "",
        title=_("Cursor header"),
        description=_("Header of the response with the cursor of the next page, such as X-Next-Cursor."),
    )
    cursor: JMESPath | None = Field(
        None,
        validate_default=True,
        title=_("Cursor"),
        description=_(
            "JMESPath to the cursor of the next page, such as meta.next. Required unless a header contains it."
        ),
    )
    param: Text = Field(
        "cursor",
        title=_("Cursor parameter"),
        description=_("Parameter with the cursor, unless the request contains {cursor} elsewhere."),
    )

    @field_validator("cursor", mode="before")
    @classmethod
    def _one_place(cls, value: object, info: ValidationInfo) -> object:
        if value is None and not info.data.get("cursor_header", "invalid"):
            raise ValueError(gettext("Required."))
        if value is not None and info.data.get("cursor_header"):
            raise ValueError(
                gettext("The cursor is either in the body or in a header; remove one of the two.")
            )
        return value


class Links(_Sized):
    """The Link header of each response names the next page as rel=next."""

    type: Literal["link"] = "link"


class NextUrls(_Sized):
    """Each response contains the URL of the next page; a missing or empty one ends the pull."""

    type: Literal["next_url"] = "next_url"
    next_url: JMESPath = Field(
        title=_("URL of the next page"),
        description=_('JMESPath to the absolute or relative URL, such as next or "@odata.nextLink".'),
    )


type Pagination = SinglePage | PageNumbers | Offsets | Cursors | Links | NextUrls
