"""Compression of payloads (zstd), and reading of the original bytes from any offset."""

from __future__ import annotations

import io
from typing import IO, Protocol

import zstandard

ZSTD = "zstd"

# Size of the sample that decides about compression, and of a read.
_BLOCK_BYTES = 256 * 1024
# Smaller objects cost their metadata whatever their content is.
_WORTH_BYTES = 512
# Minimum saving of the sample; images and archives do not reach it.
_WORTH_PART = 0.1


class Readable(Protocol):
    """Interface of a stream that is uploaded."""

    def read(self, size: int = -1, /) -> bytes: ...


class PeekedStream:
    """Stream whose first block was peeked at and is read again.

    It returns as many bytes as requested while there are any: boto3 takes a short read for the end of the stream.
    """

    def __init__(self, first: bytes, rest: Readable) -> None:
        self._first = io.BytesIO(first)
        self._wait = rest

    def read(self, size: int = -1, /) -> bytes:
        # Block by block, because a server may hold several copies of a requested block.
        whole = io.BytesIO()
        missing = size - whole.write(self._first.read(size))
        while (size < 0 or missing > 0) and (
            block := self._wait.read(min(missing, _BLOCK_BYTES) if size >= 0 else _BLOCK_BYTES)
        ):
            missing -= whole.write(block)
        return whole.getvalue()


def encode(stream: Readable) -> tuple[str, Readable]:
    """Encoding that pays off for these bytes, "zstd" or "", and the encoded stream. Uses constant memory."""
    first = stream.read(_BLOCK_BYTES)
    whole = PeekedStream(first, stream)
    trial = zstandard.ZstdCompressor(level=1).compress(first)
    if len(first) < _WORTH_BYTES or len(trial) > len(first) * (1 - _WORTH_PART):
        return "", whole
    compressor = zstandard.ZstdCompressor(level=3)
    return ZSTD, compressor.stream_reader(whole, read_size=_BLOCK_BYTES)  # type: ignore[arg-type] # It only reads.


class DecodedStream(io.RawIOBase):
    """The original bytes of a compressed object from offset `first`; closing it closes the stream of the object."""

    def __init__(self, source: IO[bytes], *, first: int = 0) -> None:
        super().__init__()
        self._source = source
        self._decoded = zstandard.ZstdDecompressor().stream_reader(
            source, read_size=_BLOCK_BYTES, read_across_frames=True
        )
        # Compressed data cannot be sought: the bytes before are decompressed and dropped.
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
