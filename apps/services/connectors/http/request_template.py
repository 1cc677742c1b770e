"""Requests of a source, with placeholders in path, parameters, headers and body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.formats.documents import encode_json
from apps.services.connectors.http.messages import HttpRequest
from apps.services.definition import placeholders
from apps.services.definition.http_options import HttpSource

# The value of each placeholder, None if it has none yet.
type Values = Mapping[str, str | int | float | None]


class RequestTemplate:
    """Template of the requests for the pages of one source."""

    def __init__(self, base_url: str, options: HttpSource) -> None:
        self._options = options
        self._base_url = base_url
        self.placeholders = options.placeholders

    def request(self, values: Values, parameters: Mapping[str, str]) -> HttpRequest:
        """The request with `values`, and with `parameters` besides those of the source. Raises ConnectorError."""
        try:
            url = join(self._base_url, _path_of(self._options.path, values))
            url = with_parameters(url, {**self.parameters(values), **parameters})
        except UnicodeEncodeError:
            raise ConnectorError(
                "The request cannot be sent: a value in its path or parameters contains half of a surrogate pair."
            ) from None
        return self.request_to(url, values)

    def parameters(self, values: Values) -> dict[str, str]:
        """The parameters of the source without those that have no value."""
        filled = {name: _filled(text, values) for name, text in self._options.params.items()}
        return {name: text for name, text in filled.items() if text is not None}

    def request_to(self, url: str, values: Values) -> HttpRequest:
        """The request to a URL that contains path and parameters already. Raises ConnectorError."""
        options = self._options
        headers, body = self.headers(values), None
        if options.body is not None:
            headers = {"Content-Type": "application/json", **headers}
            body = encode_json(_filled_json(options.body, values))
        return HttpRequest(
            options.method,
            url,
            headers,
            body,
            final_statuses=options.pagination.end_status,
            retried_statuses=options.retry_status,
        )

    def headers(self, values: Values) -> dict[str, str]:
        """The headers of the source without those that have no value. Raises ConnectorError."""
        headers = {}
        for name, template in self._options.headers.items():
            if (text := _filled(template, values)) is None:
                continue
            if not text.isascii() or not text.isprintable():
                raise ConnectorError(
                    f"The header {name} cannot be sent: a placeholder in it has a value with line breaks or other "
                    "than ASCII characters. Put the placeholder into the parameters."
                )
            headers[name] = text
        return headers


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


def _filled(text: str, values: Values) -> str | None:
    """`text` with the values of its placeholders, None if one has no value."""
    if any(values.get(name) is None for name in placeholders.names_in([text])):
        return None
    return placeholders.fill(text, lambda name: str(values[name]))


def _filled_json(part: Any, values: Values) -> Any:
    """`part` of a body with the values of its placeholders; null for a text in which one has no value."""
    if isinstance(part, dict):
        return {key: _filled_json(inner, values) for key, inner in part.items()}
    if isinstance(part, list):
        return [_filled_json(inner, values) for inner in part]
    if not isinstance(part, str):
        return part
    if name := placeholders.whole(part):
        return values.get(name)
    return _filled(part, values)


def _path_of(path: str, values: Values) -> str:
    return placeholders.fill(path, lambda name: _segment(name, values.get(name)))


def _segment(name: str, value: object) -> str:
    text = "" if value is None else str(value)
    if text and not text.strip("."):
        raise ConnectorError(f"The value “{text}” of {{{name}}} would lead to another path.")
    return quote(text, safe="")
