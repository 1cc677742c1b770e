"""Keeps what can be compressed compressed (zstd), and gives the original bytes back, from any of them on."""

from __future__ import annotations

import io
from typing import IO, Protocol

import zstandard

ZSTD = "zstd"

# What is looked at to tell whether a body is worth compressing, and what is read at once.
_BLOCK_BYTES = 256 * 1024
# Below this an object costs its metadata, whatever is in it.
_WORTH_BYTES = 512
# A trial must save this part at least: what is compressed already (images, archives) does not.
_WORTH_PART = 0.1


class Readable(Protocol):
    """All that is asked of a stream that goes to the store."""

    def read(self, size: int = -1, /) -> bytes: ...


class Replayed:
    """A stream whose first block was looked at, and is read all the same.

    It reads as much as is asked for while there is any: boto3 takes fewer bytes for the end of the stream, and
    fetches the rest into memory.
    """

    def __init__(self, first: bytes, rest: Readable) -> None:
        self._first = io.BytesIO(first)
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        # Block by block, for a server may hold several copies of as much as is asked of it.
        whole = io.BytesIO()
        missing = size - whole.write(self._first.read(size))
        while (size < 0 or missing > 0) and (
            block := self._rest.read(min(missing, _BLOCK_BYTES) if size >= 0 else _BLOCK_BYTES)
        ):
            missing -= whole.write(block)
        return whole.getvalue()


def encode(stream: Readable) -> tuple[str, Readable]:
    """The encoding that pays for these bytes, and a stream of them in it: "zstd", or "" for as they are.

    The memory that it takes does not depend on how much the stream holds.
    """
    first = stream.read(_BLOCK_BYTES)
    whole = Replayed(first, stream)
    trial = zstandard.ZstdCompressor(level=1).compress(first)
    if len(first) < _WORTH_BYTES or len(trial) > len(first) * (1 - _WORTH_PART):
        return "", whole
    compressor = zstandard.ZstdCompressor(level=3)
    return ZSTD, compressor.stream_reader(whole, read_size=_BLOCK_BYTES)  # type: ignore[arg-type] # It only reads.


class DecodedStream(io.RawIOBase):
    """The original bytes of a compressed object, from number `first` on; closing it closes the object's stream."""

    def __init__(self, source: IO[bytes], *, first: int = 0) -> None:
        super().__init__()
        self._source = source
        self._decoded = zstandard.ZstdDecompressor().stream_reader(
            source, read_size=_BLOCK_BYTES, read_across_frames=True
        )
        # Compressed bytes have no places: what comes before is decompressed and dropped.
        while first > 0 and (skipped := self._decoded.read(min(first, _BLOCK_BYTES))):
            first -= len(skipped)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override] # All that is ever handed in.
        return self._decoded.readinto(buffer) if len(buffer) else 0

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()
