"""What went wrong, told to machines: RFC 9457 `application/problem+json`, for every error under /api/."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.views import set_rollback

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# Before the name of a problem that says more than its status does.
TYPE_PREFIX = "urn:problem-type:synclog:"

type Errors = dict[str, list[str]]


class Problem(exceptions.APIException):
    """An error with a type of its own: `slug` names it for machines, `title` for people."""

    slug = ""
    title = ""

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})
        # What the document says besides, for machines.
        self.members = members


class RunHasEnded(Problem):
    status_code = HTTPStatus.CONFLICT
    slug = "run-has-ended"
    title = "The run has ended"


class IdempotencyKeyReused(Problem):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "idempotency-key-reused"
    title = "The Idempotency-Key stands for another request"


class PayloadUnreadable(Problem):
    status_code = HTTPStatus.GONE
    slug = "payload-gone"
    title = "The payload can no longer be read"


class RangeNotSatisfiable(Problem):
    status_code = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    slug = "range-not-satisfiable"
    title = "The file ends before this range"


class PreconditionFailed(Problem):
    status_code = HTTPStatus.PRECONDITION_FAILED


class BodyTooLarge(Problem):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class LengthRequired(Problem):
    status_code = HTTPStatus.LENGTH_REQUIRED


class RunIsNotReported(Problem):
    status_code = HTTPStatus.CONFLICT
    slug = "run-not-reported"
    title = "The run is executed by Synclog itself"


class RunOfAnotherReporter(Problem):
    status_code = HTTPStatus.FORBIDDEN
    slug = "run-of-another-reporter"
    title = "The run was opened by another user"


class LinesMissing(Problem):
    status_code = HTTPStatus.CONFLICT
    slug = "lines-missing"
    title = "Lines are missing before those that were sent"


class PayloadNameTaken(Problem):
    status_code = HTTPStatus.CONFLICT
    slug = "payload-name-taken"
    title = "Another file is kept under this kind and name"


class PayloadTooLarge(Problem):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "payload-too-large"
    title = "The payload is larger than what is kept of one"


class PayloadStoreUnavailable(Problem):
    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "payload-not-stored"
    title = "The payload could not be stored"


def problem_response(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """The answer to any error that a view raised; what nobody expected is logged and told without details."""
    set_rollback()
    match error:
        case exceptions.ValidationError():
            return invalid(_by_field(error.detail))
        case DjangoValidationError():
            return invalid(_by_field(exceptions.ValidationError(_messages(error)).detail))
        case Problem():
            return problem(
                error.status_code,
                str(error.detail),
                slug=error.slug,
                title=error.title,
                headers=error.headers,
                members=error.members,
            )
        case exceptions.NotAuthenticated():
            words = _("Send a token, in the header “Authorization: Bearer synclog_…”.")
            return problem(error.status_code, words, headers=_headers(error))
        case exceptions.APIException():
            return problem(error.status_code, str(error.detail), headers=_headers(error))
        case Http404():
            return problem(HTTPStatus.NOT_FOUND, _("There is no such thing, or it is not yours to see."))
        case PermissionDenied():
            return problem(HTTPStatus.FORBIDDEN, str(error))
        case OperationalError() | InterfaceError():
            logger.error("The database failed under %s", _path(context), exc_info=error)
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                _("The database cannot be reached; try again soon."),
                headers={"Retry-After": "5"},
            )
    logger.error("Unexpected error under %s", _path(context), exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, _("Something went wrong in Synclog; its log says what."))


def problem(
    status: int,
    detail: str,
    *,
    slug: str = "",
    title: str = "",
    errors: Errors | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """One problem document. Without a slug the status says it all, and `type` is `about:blank`."""
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + slug if slug else "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        **(members or {}),
    }
    if errors is not None:
        document["errors"] = errors
    # Half a surrogate pair, which a client may have sent, becomes the escape that JSON has for it.
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE, headers=dict(headers or {}))


def invalid(errors: Errors) -> HttpResponse:
    """400 with the reasons by field."""
    detail = " ".join(
        message if field == NON_FIELD_ERRORS else f"{field}: {message}"
        for field, messages in errors.items()
        for message in messages
    )
    return problem(
        HTTPStatus.BAD_REQUEST, detail, slug="invalid", title="The request is not valid", errors=errors
    )


def no_such_route(request: HttpRequest) -> HttpResponse:
    """The answer for every address under /api/ that is not one of ours."""
    detail = _("There is no such route; /api/schema/ lists those that there are.")
    if not request.path.endswith("/"):
        detail += " " + _("Most end in a slash.")
    return problem(HTTPStatus.NOT_FOUND, detail)


def _messages(error: DjangoValidationError) -> Any:
    return error.message_dict if hasattr(error, "error_dict") else error.messages


def _by_field(detail: Any, field: str = NON_FIELD_ERRORS) -> Errors:
    """Flat, however deep the errors are nested: `{"options.page_size": ["…"]}`."""
    if isinstance(detail, list | tuple):
        nested = [(field, item) for item in detail]
    elif isinstance(detail, Mapping):
        nested = [(_name_within(field, str(key)), item) for key, item in detail.items()]
    else:
        return {field: [str(detail)]}
    errors: Errors = {}
    for name, item in nested:
        for path, messages in _by_field(item, name).items():
            errors.setdefault(path, []).extend(messages)
    return errors


def _name_within(field: str, key: str) -> str:
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
