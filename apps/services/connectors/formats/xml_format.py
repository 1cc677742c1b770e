"""XML files: reader, and the mapping of elements to records.

A record is a mapping: `@name` for an attribute, the name of a child element for its value, a list for repeated
children, and `#text` for text beside attributes or children. An element with text alone is the text. Names keep their
prefixes; namespace declarations are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn
from xml.parsers import expat

from django.conf import settings

from apps.services.connectors.base import ConnectorError, Record
from apps.services.connectors.formats.size_limits import BLOCK_BYTES, too_large
from apps.services.definition.file_options import XmlSource

_MAX_DEPTH = 100
# Names of elements that an error message lists.
_MAX_NAMES = 10


def read_xml(stream: BinaryIO, options: XmlSource, name: str) -> Iterator[Record]:
    """Yields the records in the outermost elements that `options` names. Raises ConnectorError."""
    elements = _Elements(options, name)
    parser = safe_parser(name)
    parser.StartElementHandler = elements.start
    parser.EndElementHandler = elements.end
    parser.CharacterDataHandler = elements.text
    since_record = 0
    for _part in parse(parser, stream, name):
        since_record = 0 if elements.records else since_record + BLOCK_BYTES
        if since_record > settings.MAX_RESPONSE_BYTES + BLOCK_BYTES and elements.is_in_record:
            raise too_large(f"{name}, line {parser.CurrentLineNumber}", "one record")
        yield from elements.take()
    elements.check_found()


def safe_parser(name: str) -> expat.XMLParserType:
    """A parser that refuses entities and accesses nothing but the data that it is given."""
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_details: object) -> NoReturn:
        raise ConnectorError(
            f"{name}, line {parser.CurrentLineNumber} declares or uses an XML entity, which is refused for "
            "security. Remove the entity from the file."
        )

    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.SkippedEntityHandler = refuse
    return parser


def parse(parser: expat.XMLParserType, stream: BinaryIO, name: str) -> Iterator[None]:
    """Parses `stream` block by block and yields after each."""
    is_last = False
    while not is_last:
        data = stream.read(BLOCK_BYTES)
        is_last = not data
        try:
            parser.Parse(data, is_last)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise ConnectorError(f"{name}, line {error.lineno} is invalid XML: {reason}.") from None
        except (LookupError, ValueError) as error:
            raise ConnectorError(f"{name} is invalid XML: {error}.") from None
        yield


class _Elements:
    """Builds records from the events of the parser."""

    def __init__(self, options: XmlSource, name: str) -> None:
        self._record = options.record
        self._lists = frozenset(options.lists)
        self._name = name
        # Open elements of a record: tag, fields and pieces of text.
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []
        self._depth = 0
        self._is_found = False
        # Elements outside of records, except the root; a dict, because it keeps their order.
        self._others: dict[str, None] = {}
        self.records: list[Record] = []

    @property
    def is_in_record(self) -> bool:
        return bool(self._open)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ConnectorError(f"{self._name}: the element “{tag}” is nested deeper than {_MAX_DEPTH}.")
        if self._open or self._record in (tag, tag.rpartition(":")[2]):
            fields = {
                f"@{key}": value
                for key, value in attributes.items()
                if key != "xmlns" and not key.startswith("xmlns:")
            }
            self._open.append((tag, fields, []))
        elif self._depth > 1 and len(self._others) < _MAX_NAMES:
            self._others[tag] = None

    def end(self, _tag: str) -> None:
        self._depth -= 1
        if not self._open:
            return
        tag, fields, pieces = self._open.pop()
        text = "".join(pieces)
        if not self._open:
            self._is_found = True
            self.records.append(_with_text(fields, text))
            return
        value = _with_text(fields, text) if fields else text
        parent = self._open[-1][1]
        if tag not in parent:
            parent[tag] = [value] if tag in self._lists else value
        elif isinstance(parent[tag], list):
            parent[tag].append(value)
        else:
            parent[tag] = [parent[tag], value]

    def text(self, data: str) -> None:
        if self._open:
            self._open[-1][2].append(data)

    def take(self) -> list[Record]:
        """The records that are complete."""
        records, self.records = self.records, []
        return records

    def check_found(self) -> None:
        """Raises ConnectorError if the document has other elements only; a root without children is empty."""
        if not self._is_found and self._others:
            raise ConnectorError(
                f"{self._name} has no element “{self._record}”; it has {', '.join(self._others)}. Set “record” of "
                "xml to the element of each record."
            )


def _with_text(fields: dict[str, Any], text: str) -> dict[str, Any]:
    """`fields` with the text beside them; white space between elements is ignored."""
    return {**fields, "#text": text} if text.strip() else fields
