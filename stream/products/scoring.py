"""From what is known of a product to its public score."""

from math import exp
from typing import Any

from stream.models.linear import Features, Linear, probability
from stream.products.features import NAMES, TEXTS
from stream.products.forecasting import features, foreseen, thin
from stream.products.row import KINDS, ProductRow
from stream.products.serving import SCORE_HORIZON, Serving
from stream.units import HOUR, Millis, rfc3339

ENOUGH_VIEWS = 20
"""Views under which a score is called cold."""
_TREND = NAMES.index("views_day")
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
    known = watermark or row.at or row.told  # the catalogue may speak before anything happens
    now = max(known, row.at)
    outlook = foreseen(about.get("product", ""), row, serving, now, bucket)
    x = features(row, now, outlook.rising, outlook.expected)
    served = serving.potential[SCORE_HORIZON].served
    chance = probability(served.value(x))
    return {
        **about,
        "score": round(chance, 4),
        "interval": [round(bound, 4) for bound in thin(chance, outlook.seen)],
        "conversion": round(_conversion(row, serving, now), 5),
        "demand": outlook.demand,
        "trend": round(exp(x[_TREND] or 0.0), 3),
        "reasons": reasons(served, x),
        "evidence": {kind: round(total) for kind, total in zip(KINDS, row.totals, strict=True)},
        "as_of": rfc3339(Millis(known)),
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


def reasons(model: Linear, x: Features) -> list[dict[str, Any]]:
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
