"""Errors of the API as RFC 9457 `application/problem+json`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions
from rest_framework.views import set_rollback

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# Prefix of problem types.
TYPE_PREFIX = "urn:problem-type:synclog:"
INTERNAL_ERROR = gettext_lazy("Internal error; see the log of Synclog.")

type Errors = dict[str, list[str]]


class Problem(exceptions.APIException):
    """An error with its own type: `slug` for machines, `title` for people."""

    slug = ""
    title = ""

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})
        # Additional members of the document.
        self.members = members


class RunHasEnded(Problem):
    status_code = HTTPStatus.CONFLICT
    slug = "run-has-ended"
    title = "The run has ended"


class IdempotencyKeyReused(Problem):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "idempotency-key-reused"
    title = "The Idempotency-Key was used for another request"


class PayloadUnreadable(Problem):
    status_code = HTTPStatus.GONE
    slug = "payload-gone"
    title = "The payload is no longer available"


class RangeNotSatisfiable(Problem):
    status_code = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    slug = "range-not-satisfiable"
    title = "The range is outside of the file"


class PreconditionFailed(Problem):
    status_code = HTTPStatus.PRECONDITION_FAILED


class BodyTooLarge(Problem):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class LengthRequired(Problem):
    status_code = HTTPStatus.LENGTH_REQUIRED


class RunIsNotReported(Problem):
    status_code = HTTPStatus.CONFLICT
    slug = "run-not-reported"
    title = "The run is not a reported run"


class RunOfAnotherReporter(Problem):
    status_code = HTTPStatus.FORBIDDEN
    slug = "run-of-another-reporter"
    title = "The run was opened by another user"


class LinesMissing(Problem):
    status_code = HTTPStatus.CONFLICT
    slug = "lines-missing"
    title = "Lines are missing"


class PayloadNameTaken(Problem):
    status_code = HTTPStatus.CONFLICT
    slug = "payload-name-taken"
    title = "Another file is stored under this kind and name"


class PayloadTooLarge(Problem):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "payload-too-large"
    title = "The payload is too large"


class PayloadStoreUnavailable(Problem):
    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "payload-not-stored"
    title = "The payload could not be stored"


def handle_exception(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """The response for any error of a view; unexpected errors are logged and reported without details."""
    set_rollback()
    match error:
        case exceptions.ValidationError():
            return _validation_problem(_errors_by_field(error.detail))
        case DjangoValidationError():
            return _validation_problem(_errors_by_field(exceptions.ValidationError(_messages(error)).detail))
        case Problem():
            return problem_response(
                error.status_code,
                str(error.detail),
                slug=error.slug,
                title=error.title,
                headers=error.headers,
                members=error.members,
            )
        case exceptions.NotAuthenticated():
            detail = _("Missing token; send the header “Authorization: Bearer synclog_…”.")
            return problem_response(error.status_code, detail, headers=_headers(error))
        case exceptions.APIException():
            return problem_response(error.status_code, str(error.detail), headers=_headers(error))
        case Http404():
            return problem_response(HTTPStatus.NOT_FOUND, _("Not found."))
        case PermissionDenied():
            return problem_response(HTTPStatus.FORBIDDEN, str(error))
        case OperationalError() | InterfaceError():
            logger.error("Database error in %s", _path(context), exc_info=error)
            return problem_response(
                HTTPStatus.SERVICE_UNAVAILABLE,
                _("The database is unreachable; try again soon."),
                headers={"Retry-After": "5"},
            )
    logger.error("Unexpected error in %s", _path(context), exc_info=error)
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, str(INTERNAL_ERROR))


def problem_response(
    status: int,
    detail: str,
    *,
    slug: str = "",
    title: str = "",
    errors: Errors | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """A problem document. Without a slug the status says enough, and `type` is `about:blank`."""
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + slug if slug else "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        **(members or {}),
    }
    if errors is not None:
        document["errors"] = errors
    # A lone surrogate from a client becomes its JSON escape.
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE, headers=dict(headers or {}))


def _validation_problem(errors: Errors) -> HttpResponse:
    """400 with the error messages by field."""
    detail = " ".join(
        message if field == NON_FIELD_ERRORS else f"{field}: {message}"
        for field, messages in errors.items()
        for message in messages
    )
    return problem_response(
        HTTPStatus.BAD_REQUEST, detail, slug="invalid", title="Invalid request", errors=errors
    )


def _messages(error: DjangoValidationError) -> Any:
    return error.message_dict if hasattr(error, "error_dict") else error.messages


def _errors_by_field(detail: Any, field: str = NON_FIELD_ERRORS) -> Errors:
    """Flat errors, however deeply they are nested: `{"options.page_size": ["…"]}`."""
    if isinstance(detail, list | tuple):
        nested = [(field, item) for item in detail]
    elif isinstance(detail, Mapping):
        nested = [(_nested_name(field, str(key)), item) for key, item in detail.items()]
    else:
        return {field: [str(detail)]}
    errors: Errors = {}
    for name, item in nested:
        for path, messages in _errors_by_field(item, name).items():
            errors.setdefault(path, []).extend(messages)
    return errors


def _nested_name(field: str, key: str) -> str:
    if key in ("non_field_errors", NON_FIELD_ERRORS):
        return field
    return key if field == NON_FIELD_ERRORS else f"{field}.{key}"


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return headers


def _path(context: Mapping[str, Any]) -> str:
    return str(getattr(context.get("request"), "path", "/api/"))
