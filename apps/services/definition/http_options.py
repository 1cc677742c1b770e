"""Options of sources and destinations of HTTP connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from django.utils.translation import gettext_noop as _
from pydantic import Field, field_validator

from apps.services.definition.option_types import (
    MAX_PAGE_SIZE,
    Flag,
    Headers,
    HttpPath,
    JMESPath,
    Options,
    Parameters,
    RecordPath,
    Text,
    WholeNumber,
)


class SinglePage(Options):
    """One request fetches everything."""

    type: Literal["none"] = "none"


class PageNumbers(Options):
    """`?page=1`, `?page=2` … up to an empty or short page."""

    type: Literal["page"] = "page"
    page_param: Text = Field(
        "page", title=_("Page parameter"), description=_("Parameter with the page number.")
    )
    size_param: Text = Field(
        "",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )
    first: WholeNumber = Field(
        1, ge=0, le=10**9, title=_("First page"), description=_("Number of the first page.")
    )


class Offsets(Options):
    """`?offset=0`, `?offset=100` … up to an empty or short page."""

    type: Literal["offset"] = "offset"
    offset_param: Text = Field(
        "offset", title=_("Offset parameter"), description=_("Parameter with the offset.")
    )
    size_param: Text = Field(
        "limit",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )


class Cursors(Options):
    """Each response contains the cursor of the next page; a missing or empty one ends the pull."""

    type: Literal["cursor"] = "cursor"
    cursor: JMESPath = Field(
        title=_("Cursor"), description=_("JMESPath to the cursor of the next page, such as meta.next.")
    )
    param: Text = Field("cursor", title=_("Cursor parameter"), description=_("Parameter with the cursor."))
    size_param: Text = Field(
        "",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )


class Links(Options):
    """The Link header of each response names the next page as rel=next."""

    type: Literal["link"] = "link"
    size_param: Text = Field(
        "",
        title=_("Size parameter"),
        description=_("Parameter with the page size. Empty: the size is not sent."),
    )


type Pagination = SinglePage | PageNumbers | Offsets | Cursors | Links


class HttpSource(Options):
    """Source of an HTTP connection."""

    path: HttpPath = Field(
        "", title=_("Path"), description=_("Path below the connection's address, such as /orders.")
    )
    records: JMESPath = Field(
        "@",
        validate_default=True,
        title=_("Records"),
        description=_("JMESPath to the list of records, such as data.items. @ is the response itself."),
    )
    id_field: JMESPath = Field(
        "id",
        validate_default=True,
        title=_("Key"),
        description=_("JMESPath to the key of a record, such as id or order.number."),
    )
    page_size: WholeNumber = Field(
        100, ge=1, le=MAX_PAGE_SIZE, title=_("Page size"), description=_("Records in a page.")
    )
    params: Parameters = Field({}, title=_("Parameters"), description=_("Query parameters of each request."))
    headers: Headers = Field({}, title=_("Headers"), description=_("Headers of each request."))
    pagination: Pagination = Field(
        SinglePage(),
        discriminator="type",
        title=_("Pagination"),
        description=_("How to request the next page."),
    )
    record_path: RecordPath = Field(
        "",
        title=_("Path of one record"),
        description=_("Path such as /orders/{key}, to pull single records again. Empty: all are pulled."),
    )

    @field_validator("pagination", mode="before")
    @classmethod
    def _default_type(cls, value: Any) -> Any:
        return {"type": "none", **value} if isinstance(value, Mapping) else value


class HttpDestination(Options):
    """Destination of an HTTP connection."""

    path: HttpPath = Field(
        "", title=_("Path"), description=_("Path below the connection's address, such as /stock.")
    )
    method: Literal["POST", "PUT", "PATCH"] = Field(
        "POST", title=_("Method"), description=_("Method of each request.")
    )
    batch_size: WholeNumber = Field(
        100,
        ge=1,
        le=MAX_PAGE_SIZE,
        title=_("Batch size"),
        description=_("Records in a request. 1 sends a single record, more send a list."),
    )
    id_field: JMESPath | None = Field(
        None,
        title=_("Key"),
        description=_("JMESPath to the key of a pushed record. Empty: as in the source."),
    )
    skip_unchanged: Flag = Field(
        False,
        title=_("Skip unchanged records"),
        description=_("Do not push a record again unless it differs from what was last accepted."),
    )
    params: Parameters = Field({}, title=_("Parameters"), description=_("Query parameters of each request."))
    headers: Headers = Field({}, title=_("Headers"), description=_("Headers of each request."))
