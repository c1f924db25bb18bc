"""Answers that are worth remembering."""

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
