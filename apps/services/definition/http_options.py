"""Options of sources and destinations of HTTP connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import Field, ValidationInfo, field_validator, model_validator

from apps.services.definition.option_types import (
    MAX_PAGE_SIZE,
    Flag,
    Headers,
    JMESPath,
    JsonBody,
    Options,
    Parameters,
    SourceHeaders,
    SourceParameters,
    Statuses,
    Text,
    WholeNumber,
)
from apps.services.definition.pagination_options import Pagination, SinglePage
from apps.services.definition.path_types import FieldsPath, HttpPath, RecordPath, fields_in
from apps.services.definition.placeholders import LocatedError, names_in, texts_in
from apps.services.definition.since import Since

# Placeholders that have a value with the pagination of the same name only.
_POSITIONS = ("page", "offset", "cursor")


class HttpSource(Options):
    """Source of an HTTP connection."""

    path: HttpPath = Field(
        "", title=_("Path"), description=_("Path below the connection's address, such as /orders.")
    )
    method: Literal["GET", "POST"] = Field("GET", title=_("Method"), description=_("Method of each request."))
    body: JsonBody = Field(
        None,
        title=_("Body"),
        description=_("JSON of each POST request, in which {cursor} and other placeholders are replaced."),
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
    params: SourceParameters = Field(
        {}, title=_("Parameters"), description=_("Query parameters of each request.")
    )
    headers: SourceHeaders = Field({}, title=_("Headers"), description=_("Headers of each request."))
    pagination: Pagination = Field(
        SinglePage(end_status=()),
        validate_default=True,
        discriminator="type",
        title=_("Pagination"),
        description=_("How to request the next page."),
    )
    fail_if: JMESPath | None = Field(
        None,
        title=_("Error if"),
        description=_(
            "JMESPath that is true if a response is an error despite its status, such as success == `false`."
        ),
    )
    retry_status: Statuses = Field(
        (),
        title=_("Retried statuses"),
        description=_("Statuses that are retried besides 408, 425, 429, 500, 502, 503, 504 and 520 to 530."),
    )
    since: Since = Field(Since.model_validate({}), title=_("Since"), description=_("The value of {since}."))
    record_path: RecordPath = Field(
        "",
        title=_("Path of one record"),
        description=_("Path such as /orders/{key}, to pull single records again. Empty: all are pulled."),
    )

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of the placeholders in the requests."""
        texts = [self.path, *self.params.values(), *self.headers.values(), *texts_in(self.body)]
        return frozenset(names_in(texts))

    @field_validator("body")
    @classmethod
    def _body_of_post(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("method", "POST") != "POST":
            raise ValueError(gettext("Only POST requests have a body; set the method to POST, or remove it."))
        return value

    @field_validator("pagination", mode="before")
    @classmethod
    def _default_type(cls, value: Any) -> Any:
        return {"type": "none", **value} if isinstance(value, Mapping) else value

    @field_validator("pagination")
    @classmethod
    def _fills_path(cls, value: Pagination, info: ValidationInfo) -> Pagination:
        """A path cannot do without the value of a placeholder."""
        for name in names_in([info.data.get("path", "")]):
            if name in _POSITIONS and value.type != name:
                raise LocatedError(
                    gettext(
                        "“{%(name)s}” in the path has no value with this pagination; choose %(name)s, or remove it."
                    )
                    % {"name": name},
                    ("type",),
                )
        return value


class Results(Options):
    """The results of single records in the response to a batch, one for each record, in the same order."""

    path: JMESPath = Field(
        "@",
        validate_default=True,
        title=_("Results"),
        description=_("JMESPath to the list of results in a response, one for each record, in order."),
    )
    accepted_if: JMESPath = Field(
        title=_("Accepted if"),
        description=_("JMESPath on a result that is true for an accepted record, such as status < `300`."),
    )
    reason: JMESPath | None = Field(
        None,
        title=_("Reason"),
        description=_(
            "JMESPath on a result to the reason of a refusal, such as error.message. Empty: the result."
        ),
    )


class HttpDestination(Options):
    """Destination of an HTTP connection."""

    path: FieldsPath = Field(
        "",
        title=_("Path"),
        description=_(
            "Path below the connection's address, such as /stock, or with fields of the record, such as /items/{id}."
        ),
    )
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = Field(
        "POST",
        title=_("Method"),
        description=_(
            "Method of each request. DELETE sends no body if the path contains fields of the record."
        ),
    )
    batch_size: WholeNumber = Field(
        100,
        ge=1,
        le=MAX_PAGE_SIZE,
        title=_("Batch size"),
        description=_("Records in a request. 1 sends a single record, more send a list."),
    )
    wrap: Text = Field(
        "",
        title=_("Wrap"),
        description=_('Key of an object around the list of records: items sends {"items": [ … ]}.'),
    )
    results: Results | None = Field(None, title=_("Results"))
    accept_status: Statuses = Field(
        (),
        title=_("Accepted statuses"),
        description=_("Statuses that count as accepted besides 2xx, such as 409."),
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

    @model_validator(mode="before")
    @classmethod
    def _single_records(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.get("batch_size") and "{" in str(data.get("path")):
            return {**data, "batch_size": 1}
        return data

    @field_validator("batch_size")
    @classmethod
    def _one_for_fields(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and fields_in(info.data.get("path", "")):
            raise ValueError(gettext("The path contains a field of the record; write 1."))
        return value
