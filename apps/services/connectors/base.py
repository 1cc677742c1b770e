"""Interface of connectors: source, destination, pages, deliveries and errors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

type Record = Any


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of a folder at one moment; two that are equal describe the same content."""

    # Relative to the folder.
    name: str
    size: int
    # Nanoseconds since 1970; None if the file system does not record it.
    modified_at: int | None
    etag: str = ""
    # Device and inode of a local file.
    identity: tuple[int, int] | None = None

    @property
    def version(self) -> str:
        """Text that differs once the content has changed: the ETag, or size and time."""
        return (self.etag or f"{self.size} {self.modified_at}")[:200]


class FileClaims(Protocol):
    """The files that a run may read, so that no other run reads them."""

    def claim(self, files: Sequence[FileInfo]) -> Collection[str]:
        """Claims the files that are to be read and returns their names."""
        ...

    def renew(self, file: FileInfo) -> bool:
        """Claims a file again that has changed since; False if this version was read already."""
        ...

    def release(self, file: FileInfo) -> None:
        """Releases a claimed file that is not read."""
        ...

    def finish(self) -> None:
        """Called when every file of the folder was seen."""
        ...


@dataclass
class RunContext:
    """The part of a run that a connector may know."""

    run_id: int
    # Attempts for one request, including the first.
    max_attempts: int
    # Records in a page, if the run differs from the service.
    page_size: int | None = None
    # Value of {since}: the pull is limited to what changed since then.
    since: str | int | float | None = None
    # Raises if the run must stop (cancelled, timed out, lease lost); called between pages, batches and waits.
    check: Callable[[], None] = lambda: None
    # Each wakes up a connector that hangs and is abandoned.
    on_abandon: list[Callable[[], None]] = field(default_factory=list)
    # Masks a secret that became known during the run, in all lines from now on.
    add_secret: Callable[[str], None] = lambda _secret: None
    # Records that were sent to the destination, until their outcome is known: it may have accepted them. None = all
    # that were pushed since the last delivery.
    in_flight: Sequence[Record] | None = ()
    # Which files of a folder to read; None = all.
    files: FileClaims | None = None

    def abandon(self) -> None:
        """Wakes up a connector that hangs in another thread."""
        for wake_up in self.on_abandon:
            wake_up()


@dataclass(frozen=True)
class Body:
    """Bytes of a request, response or file that may be stored as a payload."""

    content_type: str
    # File extension with its dot, for the name of the payload: ".json", ".csv".
    extension: str
    # Opens a new stream from the start; the caller closes it.
    open: Callable[[], BinaryIO]

    @classmethod
    def of_bytes(cls, data: bytes, content_type: str, extension: str) -> Self:
        return cls(content_type, extension, lambda: BytesIO(data))


class ConnectorError(Exception):
    """The other system failed; the message says what, where and why.

    It carries the request and the response, if there are any. `may_have_arrived` is true if the other system may
    have accepted a request whose response is missing or incomplete.
    """

    may_have_arrived = False

    def __init__(self, message: str, *, request: Body | None = None, response: Body | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.response = response


@dataclass(frozen=True)
class Page:
    """Records of the source; pages count from 1."""

    number: int
    records: list[Record]
    # Origin for the log: "https://shop/orders?page=2", "in/a.csv, records 1–1000".
    origin: str
    # As received; None if the body of an earlier page contains these records too.
    body: Body | None = None
    # Request for the next page, empty after the last page; None if it is not known before the page is read.
    following: str | None = None


@dataclass(frozen=True)
class Delivery:
    """One request to the destination, or one file written there; batches count from 1 within a page."""

    page: int
    batch: int
    # Numbers of records that the destination accepted and refused.
    accepted: int
    refused: int
    # For the log: "POST https://warehouse/stock: 201", "out/7-1.ndjson written".
    outcome: str
    request: Body | None = None
    response: Body | None = None
    # The records of the request; None = all that were pushed since the last delivery.
    records: Sequence[Record] | None = None
    # Reason of each refused record by its position in `records`, shortened.
    refusals: Mapping[int, str] = field(default_factory=dict)
    # HTTP status that refused the whole request, such as "422".
    status: str = ""

    @property
    def accepted_records(self) -> list[Record]:
        return [record for position, record in enumerate(self.records or ()) if position not in self.refusals]

    def refused_by_reason(self) -> dict[str, list[Record]]:
        """The refused records by reason."""
        by_reason: dict[str, list[Record]] = {}
        for position, record in enumerate(self.records or ()):
            if position in self.refusals:
                by_reason.setdefault(self.refusals[position], []).append(record)
        return by_reason


@dataclass(frozen=True)
class Outgoing:
    """What a push would send, as text: a request, or a file."""

    # Request line and headers with masked credentials, or the name of the file.
    head: str
    body: str = ""
    # Why the destination would not get it.
    refusal: str = ""


class Source(Protocol):
    """Source of records. A `with` block closes what it opened."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def pages(self) -> Iterator[Page]:
        """Pulls page by page. Raises ConnectorError."""
        ...


class Destination(Protocol):
    """Destination of records. Leaving the `with` block by an error discards incomplete files."""

    # Whether records that are unchanged since they were last accepted are not pushed again.
    skips_unchanged: bool

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def push(self, page: int, records: list[Record]) -> Iterator[Delivery]:
        """Pushes the records of one page in batches and yields a delivery for each.

        A batch with refused records is a delivery as well. Raises ConnectorError if the destination fails.
        """
        ...

    def preview(self, page: int, records: list[Record]) -> Iterator[Outgoing]:
        """What `push` would send for the records, which is not sent. Raises ConnectorError."""
        ...

    def finish(self) -> Iterator[Delivery]:
        """Delivers what remains after the last page, such as one file for all pages."""
        ...
