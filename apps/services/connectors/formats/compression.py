"""Compressed files: gzip, zip and zstd."""

from __future__ import annotations

import gzip
import io
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal, Protocol, cast

import zstandard
from django.conf import settings

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.formats.size_limits import BLOCK_BYTES
from apps.services.definition.file_options import COMPRESSION_BY_SUFFIX, Compression

CONTENT_TYPES = {"gzip": "application/gzip", "zip": "application/zip", "zstd": "application/zstd"}
SUFFIXES = {"none": "", "gzip": ".gz", "zip": ".zip", "zstd": ".zst"}

# The output of the decompressor is not limited, and 4 bytes of input may become 128 KiB.
_ZSTD_INPUT_BYTES = 256
_ENCRYPTED = 0x1
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}

# The compression of a file, once it is decided.
type Known = Literal["none", "gzip", "zip", "zstd"]


def compression_of(name: str, option: Compression = "auto") -> Known:
    """`option`, or the compression that the suffix of `name` stands for."""
    if option != "auto":
        return option
    return COMPRESSION_BY_SUFFIX.get(PurePosixPath(name).suffix.lower(), "none")


def decompressed_files(stream: BinaryIO, compression: Known, name: str) -> Iterator[tuple[str, BinaryIO]]:
    """The files in `stream` with their names: each member of a zip archive, or the only file.

    The names are for messages. Raises ConnectorError, also while the files are read.
    """
    if compression == "none":
        yield name, stream
    elif compression == "gzip":
        yield name, _Decompressed.of(gzip.GzipFile(fileobj=stream), name)
    elif compression == "zstd":
        yield name, _Decompressed.of(io.BufferedReader(_ZstdStream(stream), BLOCK_BYTES), name)
    else:
        yield from _zip_members(stream, name)


def _zip_members(stream: BinaryIO, name: str) -> Iterator[tuple[str, BinaryIO]]:
    with tempfile.TemporaryFile() as copy:
        # The list of members is at the end.
        if not _is_seekable(stream):
            _copy(stream, copy, name)
            stream = cast("BinaryIO", copy)
        try:
            with zipfile.ZipFile(stream) as archive:
                members = [one for one in archive.infolist() if not one.is_dir()]
                if sum(member.file_size for member in members) > settings.MAX_FILE_BYTES:
                    raise _too_large(name)
                for member in members:
                    # Macs add a file with attributes for each file.
                    if member.filename.startswith("__MACOSX/"):
                        continue
                    yield from _zip_member(archive, member, f"{name}: {member.filename}")
        except zipfile.BadZipFile as error:
            raise _damaged(name, error) from None


def _zip_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str
) -> Iterator[tuple[str, BinaryIO]]:
    if member.flag_bits & _ENCRYPTED:
        raise ConnectorError(f"{name} is protected by a password. Create the archive without one.")
    if member.compress_type not in _METHODS:
        raise ConnectorError(
            f"{name} uses the compression method {member.compress_type} of zip, which is not supported. Create "
            "the archive with deflate."
        )
    with archive.open(member) as file:
        yield name, _Decompressed.of(file, name)


class _Decompressed:
    """Stream of decompressed bytes with a limit; translates the errors of the libraries."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name
        self._size = 0

    @classmethod
    def of(cls, stream: Any, name: str) -> BinaryIO:
        # Readers of records only read.
        return cast("BinaryIO", cls(stream, name))

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, zstandard.ZstdError) as error:
            raise _damaged(self._name, error) from None
        self._size += len(data)
        if self._size > settings.MAX_FILE_BYTES:
            raise _too_large(self._name)
        return data


class _ZstdStream(io.RawIOBase):
    """Decompressed bytes of all frames; unlike the reader of the library, it detects that the end is missing."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._frame: Any = None
        self._input = memoryview(b"")
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._output:
            self._input = self._input or memoryview(self._stream.read(BLOCK_BYTES))
            if not self._input:
                if self._frame is not None:
                    raise EOFError("the end of the file is missing")
                return 0
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            data, self._input = self._input[:_ZSTD_INPUT_BYTES], self._input[_ZSTD_INPUT_BYTES:]
            self._output = memoryview(self._frame.decompress(data))
            if self._frame.eof:
                self._input = memoryview(self._frame.unused_data + bytes(self._input))
                self._frame = None
        size = min(len(buffer), len(self._output))
        buffer[:size] = self._output[:size]
        self._output = self._output[size:]
        return size


class CompressedWriter(Protocol):
    """Compresses what is written to it, into a stream that the caller closes."""

    def write(self, data: bytes, /) -> int: ...

    def end(self) -> None:
        """Writes what follows the last byte."""
        ...

    def discard(self) -> None:
        """Gives up an incomplete file."""
        ...


def compressed_writer(stream: BinaryIO, compression: Known, member: str) -> CompressedWriter:
    """`member` is the name of the only file in a zip archive."""
    if compression == "zip":
        return _ZipWriter(stream, member)
    if compression == "gzip":
        # Beyond 15, the number of bits asks for the header of gzip.
        return _StreamWriter(stream, zlib.compressobj(wbits=31))
    if compression == "zstd":
        return _StreamWriter(stream, zstandard.ZstdCompressor().compressobj())
    return _StreamWriter(stream, None)


class _StreamWriter:
    def __init__(self, stream: BinaryIO, compressor: Any) -> None:
        self._stream = stream
        self._compressor = compressor

    def write(self, data: bytes, /) -> int:
        self._stream.write(self._compressor.compress(data) if self._compressor else data)
        return len(data)

    def end(self) -> None:
        if self._compressor:
            self._stream.write(self._compressor.flush())

    def discard(self) -> None:
        pass


class _ZipWriter:
    def __init__(self, stream: BinaryIO, member: str) -> None:
        self._archive = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED)
        info = zipfile.ZipInfo(member, datetime.now(UTC).timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        self._file = self._archive.open(info, "w", force_zip64=True)

    def write(self, data: bytes, /) -> int:
        return self._file.write(data)

    def end(self) -> None:
        self._file.close()
        self._archive.close()

    def discard(self) -> None:
        # Both would write to the stream again when they are garbage-collected.
        with suppress(Exception):
            self._file.close()
        with suppress(Exception):
            self._archive.close()


def _is_seekable(stream: Any) -> bool:
    is_seekable = getattr(stream, "seekable", None)
    return bool(is_seekable and is_seekable())


def _copy(stream: BinaryIO, copy: Any, name: str) -> None:
    size = 0
    while data := stream.read(BLOCK_BYTES):
        size += copy.write(data)
        if size > settings.MAX_FILE_BYTES:
            raise _too_large(name)


def _damaged(name: str, error: Exception) -> ConnectorError:
    return ConnectorError(
        f"{name} cannot be decompressed: {error}. Set “compression”, or create the file again."
    )


def _too_large(name: str) -> ConnectorError:
    return ConnectorError(
        f"{name} is larger than {settings.MAX_FILE_BYTES / 2**20:g} MiB when it is decompressed. Split the file, or "
        "raise SYNCLOG_MAX_FILE_MIB."
    )
