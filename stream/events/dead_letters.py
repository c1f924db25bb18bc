"""What becomes of a record that was refused."""

from stream.events.decode import Refused
from stream.shards import Letter


def dead_letter(topic: str, partition: int, refused: Refused) -> Letter:
    """Pass a record on as it came, with the reason why it was refused."""
    record, (reason, detail) = refused
    headers = (
        ("topic", topic.encode()),
        ("partition", str(partition).encode()),
        ("offset", str(record.offset).encode()),
        ("reason", reason.encode()),
        ("detail", detail.encode()),
    )
    return Letter("dead-letters", None, record.key, record.value, headers)
