"""JSON whose numbers keep every digit and their spelling."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from json.encoder import encode_basestring
from types import NoneType
from typing import Any, NoReturn

# Python's default limit for `int`.
_MAX_INTEGER_DIGITS = 4300
_SPACE = re.compile(r"[ \t\n\r]*")
_INTEGER_OF_MINUS_ZERO = re.compile(r"-0(?![0-9.eE])")


class ExactNumber(float):
    """A number with a fraction or an exponent: a float that remembers its text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


# JMESPath recognizes types by their names.
ExactNumber.__name__ = "float"


class Parser:
    """Parses documents and collects the keys that an object repeats; the last value counts."""

    def __init__(self) -> None:
        self._repeated: set[str] = set()
        self._decoder = self._decoder_with(None)
        # Calls Python for each integer, so it is used only where it makes a difference.
        self._slow_decoder = self._decoder_with(_integer)

    def parse(self, text: str) -> Any:
        """The document. Raises ValueError with the reason if it is not JSON."""
        value, end = self.parse_at(text, skip_space(text, 0))
        if skip_space(text, end) != len(text):
            raise json.JSONDecodeError("Extra data", text, end)
        return value

    def parse_at(self, text: str, start: int) -> tuple[Any, int]:
        """The value that begins at `start`, and its end. Raises JSONDecodeError, which more text may solve, and
        ValueError.
        """
        try:
            value, end = self._decoder.raw_decode(text, start)
            if _INTEGER_OF_MINUS_ZERO.search(text, start, end):
                return self._slow_decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            raise
        except ValueError:
            # Too many digits for an integer.
            return self._slow_decoder.raw_decode(text, start)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        return value, end

    def take_repeated_keys(self) -> list[str]:
        """The keys that objects repeated since the last call."""
        repeated, self._repeated = self._repeated, set()
        return sorted(repeated)

    def _decoder_with(self, parse_int: Callable[[str], Any] | None) -> json.JSONDecoder:
        return json.JSONDecoder(
            parse_float=ExactNumber,
            parse_int=parse_int,
            parse_constant=_refuse_constant,
            object_pairs_hook=self._object,
        )

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            counts = Counter(key for key, _value in pairs)
            self._repeated |= {key for key, count in counts.items() if count > 1}
        return members


def parse_with(parse_float: Callable[[str], Any], text: str) -> Any:
    """The document with the results of `parse_float`, which is called once for each float, in the order of the text.

    Raises ValueError with the reason if it is not JSON.
    """
    decoder = json.JSONDecoder(parse_float=parse_float, parse_int=_integer, parse_constant=_refuse_constant)
    try:
        return decoder.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class Encoder:
    """Encodes values; `number` returns the text of an exact number."""

    def __init__(self, number: Callable[[ExactNumber], str] = str, *, sort_keys: bool = False) -> None:
        self._sort_keys = sort_keys
        self._encoders: dict[type, Callable[[Any], str]] = {
            ExactNumber: number,
            str: encode_basestring,
            int: str,
            bool: lambda value: "true" if value else "false",
            NoneType: lambda _value: "null",
            dict: self._object,
            list: self._array,
            tuple: self._array,
        }

    def encode(self, value: Any) -> str:
        """`value` on one line. Raises TypeError, ValueError or RecursionError if JSON cannot represent it."""
        return self._encoders.get(type(value), _encode_other)(value)

    def _object(self, members: dict[str, Any]) -> str:
        encoder_of = self._encoders.get
        items = sorted(members.items()) if self._sort_keys else members.items()
        texts = [_key(key) + encoder_of(type(value), _encode_other)(value) for key, value in items]
        return f"{{{', '.join(texts)}}}"

    def _array(self, values: list[Any]) -> str:
        return f"[{', '.join(self.texts(values))}]"

    def texts(self, values: Iterable[Any]) -> list[str]:
        """Each value, encoded."""
        encoder_of = self._encoders.get
        return [encoder_of(type(value), _encode_other)(value) for value in values]


def decode(data: bytes, charset: str = "") -> str:
    """The text of a JSON document in the encoding of its byte order mark or of `charset`, by default in Unicode.

    Raises ValueError with the reason.
    """
    encoding: str = json.detect_encoding(data)
    try:
        if charset and encoding == "utf-8" and not codecs.lookup(charset).name.startswith("utf-"):
            encoding = charset
        return data.decode(encoding, "surrogatepass")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not valid {error.encoding}") from None
    except LookupError:
        raise ValueError(f"the charset “{charset}” of its content type is unknown") from None


def to_bytes(text: str) -> bytes:
    """Encoded JSON as UTF-8; half of a surrogate pair, which is not a character, as an escape."""
    return text.encode(errors="backslashreplace")


def skip_space(text: str, start: int) -> int:
    """The position of the first character after white space."""
    match = _SPACE.match(text, start)
    return start if match is None else match.end()


@lru_cache(maxsize=4096)
def _key(key: str) -> str:
    return f"{encode_basestring(key)}: "


_encode_other = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _integer(text: str) -> int | ExactNumber:
    return ExactNumber(text) if text == "-0" or len(text) > _MAX_INTEGER_DIGITS else int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
