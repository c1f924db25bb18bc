"""What is remembered: answers that are worth it, and bytes in no more room than they need."""

from collections.abc import Callable
from typing import TypeVar

V = TypeVar("V")


class Memo(dict[str, V]):
    """A pure function's answers, by its argument.

    All are forgotten when there are too many. To keep them in order of use, as `lru_cache` does,
    costs more at every look than to ask again now and then.

    >>> lengths = Memo(len, most=1000)
    >>> lengths["four"], dict(lengths)
    (4, {'four': 4})
    """

    __slots__ = ("_function", "_most")

    def __init__(self, function: Callable[[str], V], most: int) -> None:
        super().__init__()
        self._function = function
        self._most = most

    def __missing__(self, argument: str) -> V:
        """Ask, and remember the answer."""
        if len(self) >= self._most:
            self.clear()
        answer = self[argument] = self._function(argument)
        return answer


def trimmed(raw: bytes) -> bytes:
    """Copy bytes that are to be kept.

    What orjson gives is cut from a larger buffer, and on the usual allocator of Linux keeps all of
    that: 4 KB for a hundred bytes.

    >>> trimmed(b"as it was")
    b'as it was'
    """
    return bytes(memoryview(raw))
