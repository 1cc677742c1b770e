"""Results of single records in the response to a batch."""

from __future__ import annotations

from typing import Any

from jmespath.exceptions import JMESPathError

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.formats.documents import encode_json, excerpt, parse_json
from apps.services.connectors.http.messages import HttpRequest, HttpResponse
from apps.services.definition.expression import Expression
from apps.services.definition.http_options import Results
from apps.services.exact_json import Parser

# Values that JMESPath takes for false.
_FALSE: tuple[Any, ...] = (None, False, "", [], {})


def refusals_in(
    options: Results, request: HttpRequest, response: HttpResponse, record_count: int
) -> dict[int, str]:
    """Reasons of the refused records by their position in the batch.

    Raises ConnectorError if there is not one result for each record: the destination may have accepted any of them.
    """
    try:
        return _refusals(options, _document_in(response), record_count)
    except (ValueError, JMESPathError, RecursionError) as error:
        failure = ConnectorError(
            f"{request}: {response.status_line}, but it is unknown which records were accepted: {error}. Check "
            f"“results” of the destination. The response begins: {response.excerpt}",
            request=request.as_body(),
            response=response.as_body(),
        )
        failure.may_have_arrived = True
        raise failure from None


def _document_in(response: HttpResponse) -> Any:
    try:
        return parse_json(response.content, Parser(), response.charset)
    except ValueError as error:
        reason = f"is not JSON ({error})" if response.content.strip() else "is empty"
        raise ValueError(f"the response {reason}") from None


def _refusals(options: Results, document: Any, record_count: int) -> dict[int, str]:
    results = options.path.search(document)
    if not isinstance(results, list):
        raise ValueError(f"the response has no list at “{options.path.text}”")  # noqa: TRY004 - caught with others
    if len(results) != record_count:
        raise ValueError(
            f"the list at “{options.path.text}” has the length {len(results):,}, the batch {record_count:,}"
        )
    return {
        position: _reason(options.reason, result)
        for position, result in enumerate(results)
        if is_false(options.accepted_if.search(result))
    }


def is_false(value: Any) -> bool:
    """Whether JMESPath takes `value` for false."""
    return value is False or (not isinstance(value, int | float) and value in _FALSE)


def _reason(expression: Expression | None, result: Any) -> str:
    found = None if expression is None else expression.search(result)
    if is_false(found):
        found = result
    return excerpt(found.encode(errors="backslashreplace") if isinstance(found, str) else encode_json(found))
