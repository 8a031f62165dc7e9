"""The sample: its first lines, plain or gzip, and what is no lines at all, refused with what to do instead."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shardlake.adapters.disk import translated
from shardlake.core.errors import ConfigError

LINES_MAX: Final = 10_000
BYTES_MAX: Final = 64 << 20
_PIECE: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_KNOWN: Final = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_LOOKED_AT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Sample:
    """The first lines of a file. `is_whole` tells that there were no more of them."""

    path: Path
    block: bytes
    is_whole: bool

    @property
    def name(self) -> str:
        """The name of the file, without what tells how it is written."""
        return self.path.name.removesuffix(".gz").split(".")[0]


def read_sample(path: Path, lines_max: int = LINES_MAX, bytes_max: int = BYTES_MAX) -> Sample:
    """Read the first lines of a file. Raises: ConfigError for what is no file of lines, Transient."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no file: name one with lines in it")
    try:
        with translated(f"read {path}"):
            block, is_whole = _first_lines(path, lines_max, bytes_max)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}: check the path of the sample") from error
    if not block.strip():
        raise ConfigError(f"{path} holds no lines: a sample needs some, of the kind that is to be read")
    _refuse_what_is_no_text(path, block)
    return Sample(path, block, is_whole)


def _first_lines(path: Path, lines_max: int, bytes_max: int) -> tuple[bytes, bool]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP
    pieces: list[bytes] = []
    lines = size = 0
    with gzip.open(path, "rb") if is_gzip else path.open("rb") as file:
        while lines < lines_max and size < bytes_max:
            try:
                piece = file.read(_PIECE)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                if not pieces:
                    raise ConfigError(f"{path} begins like gzip and cannot be unpacked: bring it again") from error
                break  # what was there before it broke off are lines
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
            lines += piece.count(b"\n")
            size += len(piece)
    return _cut(b"".join(pieces), lines_max), False


def _cut(block: bytes, lines_max: int) -> bytes:
    """Leave so many whole lines."""
    at = -1
    for _ in range(lines_max):
        following = block.find(b"\n", at + 1)
        if following < 0:
            break
        at = following
    return block[: at + 1] if at >= 0 else block


def _refuse_what_is_no_text(path: Path, block: bytes) -> None:
    for mark, kind in _KNOWN.items():
        if block.startswith(mark):
            raise ConfigError(f"{path} is {kind}: a sample is lines of UTF-8 text, plain or gzip; convert it first")
    if b"\0" in block[:_LOOKED_AT]:
        raise ConfigError(f"{path} is binary: a sample is lines of UTF-8 text (JSON, CSV or TSV), plain or gzip")
