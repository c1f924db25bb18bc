"""User ids never leave the customers stage: everything after it sees a keyed hash."""

import hmac
from base64 import urlsafe_b64encode

from stream.errors import Misconfigured

SHORTEST_SECRET = 16
_BYTES = 16
_LETTERS = 22
"""Letters that 16 bytes need in base64, without the padding."""


class Pseudonyms:
    """Names customers so that only who has the secret can tell who is meant."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        """Take the key.

        Args:
            secret: The same for all workers and readers, for good: another one makes
                strangers of all customers. At least 16 bytes.
        """
        if len(secret) < SHORTEST_SECRET:
            raise Misconfigured(
                f"STREAM_SECRET must have at least {SHORTEST_SECRET} characters. Make one with\n"
                '  python -c "import secrets; print(secrets.token_urlsafe(32))"\n'
                "and keep it: with another one, all customers look new."
            )
        self._secret = secret

    def of(self, user_id: str) -> str:
        """Name a customer: 22 letters, digits, `-` and `_`, always the same for the same id.

        >>> Pseudonyms(b"a secret of the shop").of("user-1")
        '04QEc_H9fJjWH4IDGi4LZQ'
        """
        digest = hmac.digest(self._secret, user_id.encode(), "sha256")
        return urlsafe_b64encode(digest[:_BYTES])[:_LETTERS].decode()
