"""Shapes of lines: what is left of a line without digits. Each shape is looked at once, however often it comes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

# Hexadecimal letters go with the digits: request ids would make each line a shape of its own.
_CHANGING = b"0123456789abcdef"
# A word here may stand for many: "emory" for out of memory, OutOfMemoryError and No available memory.
_STRONG = (b"emory", b"illed", b"OOM")
_WEAK = (
    b"Error", b"rror:", b"Traceback", b"reempt", b"etract", b"failed", b"atal ", b"bort", b"exit code", b"ault", b"what():", b"Xid",
    b"allocate", b"SIG", b"erminate called", b"atchdog", b"xited with", b"xit Code", b", status=", b"ASSERT", b"ssertion", b"orrupt", b"core dumped", b"smashing", b"ExitCode",
    b"ailed with result", b"Process EngineCore",
)  # fmt: skip
# What is printed once, early in a start: each kind stands in another place of it.
_START = (
    (b"vLLM API server version", 0), (b"\xe2\x96\x88  version ", 0), (b"default args:", 1), (b"args: Namespace(", 1),
    (b"server_args=ServerArgs", 2), (b"llama_model_loader: loaded", 3),
)  # fmt: skip
# What only a server prints that is past its start.
_LATE = (
    b"EngineCore",
    b"Worker",
    b"Scheduler hit",
    b" TP0",
    b"Load weight",
    b"llama_context",
    b"ggml_",
    b"load_tensors",
)
_WORDS = (*_STRONG, *_WEAK, *(word for word, _ in _START), *_LATE)
_MOST_BYTES = 4 << 20
_LONGEST = 400  # of a longer shape only its hash is kept: pieces of a kilobyte, held for ever, tear holes in the heap


def shape_of(text: bytes) -> bytes:
    """``text`` without digits; line ends stay."""
    return text.translate(None, _CHANGING)


class Shapes:
    """The shapes seen so far.

    Attributes:
        starts: shapes of lines that a start prints, and which kind of line.
        late: shapes of lines that a running engine prints.
        told: shapes of lines that may be a failure; True where the word is a sure one.
    """

    def __init__(self) -> None:
        self.starts: dict[bytes, int] = {}
        self.late: set[bytes] = set()
        self.told: dict[bytes, bool] = {}
        self._seen: set[bytes] = set()
        self._long: set[int] = set()
        self._size = 0

    def learn(self, images: list[bytes], block: bytes) -> set[bytes]:
        """The shapes of a block's lines; those that are new are looked at, by what the lines themselves say."""
        here = set(images)
        fresh = {image for image in here - self._seen if len(image) <= _LONGEST or hash(image) not in self._long}
        if fresh:
            if self._size > _MOST_BYTES:  # text that never repeats: forget, and learn what repeats again
                self._seen, self._long, self.late, self._size = set(), set(), set(), 0
                fresh = here
            self._look(fresh, dict(zip(images, block.split(b"\n"))))
        return here

    def _look(self, fresh: Iterable[bytes], lines: dict[bytes, bytes]) -> None:
        text = b"\n".join([lines[image] for image in fresh])
        words = {word for word in _WORDS if word in text}
        for image in fresh:
            if words:
                self._sort(image, lines[image], words)
            if len(image) <= _LONGEST:
                self._seen.add(image)
            else:
                self._long.add(hash(image))
            self._size += min(len(image), _LONGEST) + 64

    def _sort(self, image: bytes, line: bytes, words: set[bytes]) -> None:
        found = {word for word in words if word in line}
        if not found:
            return
        kind = next((kind for word, kind in _START if word in found), None)
        if kind is not None:
            self.starts[image] = kind
        if not found.isdisjoint(_LATE):
            self.late.add(image)
        if not found.isdisjoint(_STRONG):
            self.told[image] = True
        elif not found.isdisjoint(_WEAK):
            self.told.setdefault(image, False)
