"""Why a part of a report is null."""

from collections.abc import Iterator, Mapping
from typing import Any

from stream.units import Millis, rfc3339, span_name


def unsaid(
    report: Mapping[str, Any], horizons: Mapping[int, object], asked: int, answered: int
) -> Iterator[str]:
    """Say in a sentence why each part of a report is null that is.

    Args:
        report: As it is, with `score_from` and `until`.
        horizons: That were asked for; keys are spans in ms.
        asked: From when on returns are counted, ms.
        answered: How long it takes to know of a return, ms.
    """
    since, until = report["score_from"], report["until"]
    if report["conversion"] is None:
        yield f"conversion is null: the log holds no click from {since} on."
    names = [span_name(Millis(horizon)) for horizon in horizons]
    if lacking := [name for name in names if name not in (report["demand"] or {})]:
        yield (
            f"demand and potential of {', '.join(lacking)} are null: no window of that length, "
            f"counted from the midnight before the log, lies between {since} and {until}. "
            "Give a longer log, a shorter --horizon, or an earlier --score-from."
        )
    if report["return"] is None:
        yield (
            "return is null: no customer with an order was asked about at or after "
            f"{rfc3339(Millis(asked))} and {span_name(Millis(answered))} before {until}. "
            "Give a longer log, or an earlier --return-from."
        )
