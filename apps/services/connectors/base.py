"""What every connector offers to the execution of a run, and what it is told about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

type Record = Any


@dataclass(frozen=True)
class RunFacts:
    """What a connector may know of the run that it works for."""

    run_id: int
    # Attempts for one request, the first included.
    max_attempts: int
    # Records in a page, where the run asks for other than the service does.
    page_size: int | None = None
    # Raises where the run is to stop (cancelled, timed out, lease lost); called between pages, batches, waits.
    check: Callable[[], None] = lambda: None
    # Called from another thread where the run goes on without a connector that hangs: whatever wakes that up.
    when_left: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True)
class Body:
    """Bytes that passed over the wire and may be kept as a payload."""

    content_type: str
    # A file's extension with its dot, for the payload's name: ".json", ".csv".
    extension: str
    # A new stream over the bytes, from the start; the caller closes it.
    open: Callable[[], BinaryIO]

    @classmethod
    def of_bytes(cls, data: bytes, content_type: str, extension: str) -> Self:
        return cls(content_type, extension, lambda: BytesIO(data))


class ConnectorError(Exception):
    """The other system did not do its part; the message tells a person what, where and why.

    What was sent and what came back, where it came so far, goes along as evidence.
    """

    def __init__(self, message: str, *, request: Body | None = None, response: Body | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.response = response


@dataclass(frozen=True)
class Page:
    """Some records of the source; pages count from 1."""

    number: int
    records: list[Record]
    # Where it came from, for the log: "https://shop/orders?page=2", "in/a.csv, records 1–1000".
    origin: str
    # As the source sent it; None where an earlier page's body holds these records too.
    body: Body | None = None


@dataclass(frozen=True)
class Delivery:
    """One request to the destination, or one file written there; batches count from 1 within a page."""

    page: int
    batch: int
    # Records that the destination accepted, and that it refused for what they are (4xx).
    accepted: int
    refused: int
    # For the log: "POST https://warehouse/stock: 201", "out/7-1.ndjson written".
    outcome: str
    request: Body | None = None
    response: Body | None = None
    # Told where records were refused: why, in the destination's words, shortened.
    refusal: str = ""


class Source(Protocol):
    """Where records come from. Used in a `with` block, which lets go of what it opened."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def pages(self) -> Iterator[Page]:
        """Pulls page by page, holding one at a time. Raises ConnectorError."""
        ...


class Destination(Protocol):
    """Where records go. Used in a `with` block; leaving it by an error undoes what is not yet whole."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def push(self, page: int, records: list[Record]) -> Iterator[Delivery]:
        """Pushes the records of one page in batches, a delivery each.

        A batch that is refused (4xx) is a delivery; raises ConnectorError where the destination is at fault.
        """
        ...

    def finish(self) -> Iterator[Delivery]:
        """After the last page: what stands to be delivered, such as one file for all pages."""
        ...
