"""From the bytes of a file or a pipe to UTF-8: UTF-16 is turned into it, what is no text is refused by name."""

from __future__ import annotations

import codecs

from glmcalc.facts.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator

_SAMPLE = 4096  # bytes that decide
# First bytes of what a log may be packed in, and what unpacks it. Sources: RFC 1952, RFC 8878, the formats' own pages.
_PACKED = (
    (b"\x1f\x8b", "gzip", "gunzip -c"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
    (b"\xfd7zXZ\x00", "xz", "xz -dc"),
    (b"BZh", "bzip2", "bunzip2 -c"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"),
    (b"PK\x03\x04", "zip", "unzip -p"),
)
_TEXT_CONTROLS = (7, 8, 9, 10, 12, 13, 27)  # bell, backspace, tab, line ends, form feed, escape


def as_utf8(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same text in UTF-8. UTF-8 passes as it is; what is not valid in it is left for the reader to replace.

    Args:
        blocks: bytes in any portions. UTF-8 or UTF-16 in either order of bytes, with or without its mark; a hole of
            zeros at the start (a log that was truncated while it was written) is skipped.

    Raises:
        InputError: a packed or a binary file, at its first block.
    """
    source = iter(blocks)
    first = _first(source)
    encoding = _encoding(first)
    if encoding is None:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from source
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first).lstrip("\ufeff").encode("utf-8", "replace")
    for block in source:
        yield decoder.decode(block).encode("utf-8", "replace")
    yield decoder.decode(b"", True).encode("utf-8", "replace")


def _first(source: Iterator[bytes]) -> bytes:
    """Enough of the start to decide: a pipe may give a few bytes only, a truncated file zeros only."""
    first = b""
    zeros = 0
    for block in source:
        first += block
        if len(first) >= _SAMPLE:
            if first.strip(b"\0"):
                break
            zeros, first = zeros + len(first), b""
    text = first.lstrip(b"\0")
    hole = len(first) - len(text)
    if zeros and not text:
        return b"\0" * _SAMPLE
    return text if zeros or hole > 1 else first  # one zero: the half of a character in UTF-16


def _encoding(first: bytes) -> str | None:
    """``None`` for UTF-8, else the name of the codec."""
    for magic, name, command in _PACKED:
        if first.startswith(magic):
            told = f"log: this is a {name} file. Unpack it first: {command} FILE | glmcalc diagnose -"
            raise InputError("log", f"a {name} file", "text", told)
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sample = first[:_SAMPLE]
    nulls = sample.count(0)
    if nulls > len(sample) // 4:
        even = sample[::2].count(0)
        if even < len(sample) // 32 + 1:
            return "utf-16-le"
        if nulls - even < len(sample) // 32 + 1:
            return "utf-16-be"
    control = sum(sample.count(value) for value in range(32) if value not in _TEXT_CONTROLS)
    if control > len(sample) // 50 + 2:
        raise InputError("log", "a binary file", "text in UTF-8 or UTF-16", "log: this is a binary file, not a log.")
    return None
