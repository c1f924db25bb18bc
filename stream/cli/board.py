"""What `stream demo` shows: the board while it plays, and the verdict."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream.cli.wording import clean, counted, number
from stream.demo.looks import Look
from stream.demo.play import Outcome, Scene
from stream.demo.source import Truth
from stream.demo.verdict import KINDS, Verdict
from stream.models.quality import ENOUGH_ACTUALS, ENOUGH_LABELS, ENOUGH_OF_A_KIND
from stream.redis.documents import Reason, Score
from stream.units import Millis, rfc3339

DAY = "1d"
"""The horizon that is shown."""
WIDE = 110
"""Columns from which on there is room for titles."""
NOUNS = {
    "views": "views",
    "carts": "carts",
    "wishes": "wishes",
    "orders": "order lines",
    "units": "units",
}


def date(time: Millis | None) -> str:
    """Write a time of the shop.

    >>> date(Millis(1_569_888_000_000))
    'Tue 2019-10-01 00:00'
    """
    if time is None:
        return "not open yet"
    day, clock = rfc3339(time)[:16].split("T")
    weekday = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")[time // 86_400_000 % 7]
    return f"{weekday} {day} {clock}"


def line(scene: Scene) -> str:
    """Say in one line what is going on, where there is no terminal."""
    first = scene.look.top[0] if scene.look.top else None
    leader = f", first {clean(first.product)} {first.score:.2f}" if first else ""
    return (
        f"{date(scene.reached)}: {scene.events:,} events, {scene.rate:,.0f} a second, "
        f"{scene.behind:,} not counted yet{leader}"
    )


def board(scene: Scene, seconds: float, console: Console) -> RenderableType:
    """Draw all that there is to see at a moment."""
    head = Table.grid(padding=(0, 3))
    left = max(0.0, seconds - scene.seconds)
    head.add_row(
        Text(date(scene.reached), style="bold"),
        f"{scene.events:,} events",
        f"{scene.rate:,.0f} a second",
        f"{scene.behind:,} not counted yet",
        f"{left:.0f} s left" if left else "finishing",
    )
    return Group(head, "", ranking(scene.look, width=_width(console)), "", models(scene.look))


def ranking(look: Look, *, width: int | None, truth: Truth | None = None) -> Table | Text:
    """Draw the highest scores.

    Args:
        look: What the worker has published.
        width: Columns of the terminal, to cut reasons to; None cuts nothing.
        truth: Shown beside the scores if it is given.
    """
    if not look.top:
        return Text("No scores yet.", style="dim")
    wide = width is None or width >= WIDE
    # All columns keep their width but the last one, which gets the rest.
    table = Table(box=None, header_style="bold", pad_edge=False, expand=width is not None)
    table.add_column("#", justify="right")
    table.add_column("product", no_wrap=True)
    if wide:
        table.add_column("title", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("trend", justify="right")
    table.add_column("units next day", no_wrap=True)
    if truth is not None:
        table.add_column("in truth", no_wrap=True)
    table.add_column("main reason", no_wrap=True, ratio=None if width is None else 1)
    for rank, (product, score) in enumerate(look.top, 1):
        document = (look.documents or {}).get(product)
        cells: list[str | Text] = [str(rank), clean(product)]
        if wide:
            cells.append(clean(document.title or "" if document else ""))
        cells += [f"{score:.2f}", f"{document.trend:.1f}" if document else "", _units(document)]
        if truth is not None:
            cells.append(_in_truth(product, truth))
        table.add_row(*cells, clean(_reason(document)))
    return table


def models(look: Look) -> Table:
    """Say of each model how right it has been of late, beside its rule of thumb."""
    metrics = look.metrics or {}
    grid = Table.grid(padding=(0, 2))
    grid.add_row("conversion", _classifier(metrics.get("conversion"), "base rate"))
    grid.add_row("potential", _classifier(_daily(metrics, "potential"), "momentum rule"))
    grid.add_row("demand", _forecaster(_daily(metrics, "demand")))
    return grid


def ending(outcome: Outcome, console: Console) -> Iterator[RenderableType]:
    """Say at the end what was seen, and whether it was right."""
    scene, verdict = outcome.scene, outcome.verdict
    yield ranking(scene.look, width=_width(console), truth=outcome.truth)
    yield ""
    yield models(scene.look)
    yield ""
    if verdict.taking_off is not None:
        yield from found(verdict)
        yield ""
    yield from sums(outcome)


def found(verdict: Verdict) -> Iterator[str]:
    """Compare the rankings with what the simulator had in store."""
    yield (
        f"By the simulator's own plan {counted(verdict.taking_off or 0, 'product', 'products')} "
        "were taking off at the end."
    )
    chance = f" ({number(verdict.by_chance)} by chance)" if verdict.by_chance is not None else ""
    yield (
        f"Of them in the top {verdict.places}: {len(verdict.by_score)} by score, "
        f"{len(verdict.by_views)} by views of the last day{chance}."
    )


def sums(outcome: Outcome) -> Iterator[str]:
    """Compare what was counted with what was sent."""
    scene, verdict, look = outcome.scene, outcome.verdict, outcome.scene.look
    sent = ", ".join(f"{verdict.produced[kind]:,} {NOUNS[kind]}" for kind in KINDS)
    yield f"Sent, less refunds: {sent}."
    if verdict.exact:
        yield f"Counted: the same, {scene.events:,} events, each counted once."
    else:
        had = ", ".join(f"{verdict.counted[kind]:,} {NOUNS[kind]}" for kind in KINDS)
        yield f"Counted: {had}. That is not the same."
    if outcome.truth is None and not outcome.ended:
        yield f"The log was not played to its end, but up to {date(scene.reached)}."
    if outcome.repeated:
        again = counted(outcome.repeated, "event was", "events were")
        yield f"{again} sent again under a known id, and not counted again."
    if look.refused:
        yield f"{counted(look.refused, 'event was', 'events were')} refused."
    if outcome.waited >= 1:
        yield f"For {outcome.waited:.0f} s nothing was sent, because the worker was behind."


def _width(console: Console) -> int | None:
    return console.width if console.is_terminal else None


def _daily(metrics: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return metrics.get(name, {}).get(DAY)


def _classifier(report: Mapping[str, Any] | None, rule: str) -> str:
    labels = report["n"] if report else 0
    if (
        not report
        or report["auc"] is None
        or labels < ENOUGH_LABELS
        or report["positives"] < ENOUGH_OF_A_KIND
    ):
        return f"learning, {counted(labels, 'label', 'labels')} so far"
    return (
        f"AUC {report['auc']:.2f}, log-loss {report['log_loss']:.3f} "
        f"({rule} {report['baseline_log_loss']:.3f}), {labels:,} labels"
    )


def _forecaster(report: Mapping[str, Any] | None) -> str:
    past = report["n"] if report else 0
    if not report or past < ENOUGH_ACTUALS:
        return f"learning, {counted(past, 'forecast', 'forecasts')} settled so far"
    return (
        f"off by {report['mae']:.2f} units a day (the week's pace {report['baseline_mae']:.2f}), "
        f"{past:,} forecasts"
    )


def _units(document: Score | None) -> str:
    units = document.demand.get(DAY) if document else None
    return f"{number(units.p50)} ({number(units.p10)}-{number(units.p90)})" if units else ""


def _reason(document: Score | None) -> str:
    """Say what lifts a score most."""
    reasons = document.reasons if document else ()
    lifting: Reason | None = next((r for r in reasons if r.effect > 0), None)
    return (lifting.text or lifting.feature) if lifting else ""


def _in_truth(product: str, truth: Truth) -> str:
    if product in truth.taking_off:
        return "takes off"
    return "looked at only" if product in truth.fads else ""
