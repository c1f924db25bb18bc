"""From what is known of a product to its public score."""

from math import exp
from typing import Any

from stream.models.linear import Linear, probability, units
from stream.products.features import TEXTS, features
from stream.products.row import KINDS, ProductRow
from stream.products.serving import SCORE_HORIZON, Serving
from stream.units import HOUR, Millis, rfc3339, span_name

ENOUGH_VIEWS = 20
"""Views under which a score is called cold."""
EXPLAINED = 0.9
"""Share of all contributions that the reasons must hold, however many that takes."""


def score(
    row: ProductRow, serving: Serving, watermark: int, bucket: int, about: dict[str, str]
) -> dict[str, Any]:
    """Write the document behind `score:<product>` or `category:<category>`.

    Args:
        row: What is known.
        serving: The models.
        watermark: Event time up to which everything is believed to be known, ms.
        bucket: Length of a demand bucket, ms.
        about: What the document is about, its first fields.
    """
    now = max(watermark, row.at)
    price = serving.category_prices.get(row.category) if row.category is not None else None
    x = features(row, now, bucket, price)
    judge = serving.potential[SCORE_HORIZON]
    served = judge.served
    trend = x[1]
    return {
        **about,
        "score": round(probability(served.value(x)), 4),
        "conversion": round(_conversion(row, serving, now), 5),
        "demand": _demand(x, serving),
        "trend": round(exp(trend), 3) if trend is not None else 1.0,
        "reasons": reasons(served, x),
        "evidence": {kind: round(total) for kind, total in zip(KINDS, row.totals, strict=True)},
        "as_of": rfc3339(Millis(watermark)),
        "model": serving.name,
        "cold": row.totals[0] < ENOUGH_VIEWS or now - row.first < HOUR,
        "category": row.category,
        "price": row.price,
        "title": row.title,
        "stock": row.stock,
    }


def _conversion(row: ProductRow, serving: Serving, now: int) -> float:
    """Mean predicted conversion of the clicks of late; one base-rate click stands in for none."""
    base = probability(serving.conversion.rule.intercept)
    total, number = row.expected(now)
    return min(1.0, (total + base) / (number + 1))


def _demand(x: list[float | None], serving: Serving) -> dict[str, dict[str, float]]:
    demand = {}
    for horizon, judge in serving.demand.items():
        middle = judge.served.value(x)
        spread = serving.spread[horizon]
        demand[span_name(Millis(horizon))] = {
            "p10": round(units(middle + spread.p10), 2),
            "p50": round(units(middle + spread.p50), 2),
            "p90": round(units(middle + spread.p90), 2),
        }
    return demand


def reasons(model: Linear, x: list[float | None]) -> list[dict[str, Any]]:
    """Say why, the strongest first: exact contributions to the log-odds, at least 90 % of them."""
    effects = zip(model.contributions(x), model.names, x, strict=True)
    parts = sorted([part for part in effects if part[0]], key=lambda part: -abs(part[0]))
    enough = EXPLAINED * sum(abs(effect) for effect, _, _ in parts)
    told: list[dict[str, Any]] = []
    explained = 0.0
    for effect, name, value in parts:
        if explained >= enough:
            break
        explained += abs(effect)
        text = TEXTS[name](value) if value is not None else f"{name} is not known"
        told.append({"feature": name, "value": value, "effect": round(effect, 4), "text": text})
    return told
