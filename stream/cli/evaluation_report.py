"""What `stream evaluate` prints for people."""

from collections.abc import Iterator
from typing import Any

from stream.cli.wording import make_console


def show(report: dict[str, Any]) -> None:
    """Print what was found for people."""
    console = make_console()
    console.print(
        f"{report['events']:,} events in {report['seconds']:,} s, {report['bad_rows']:,} bad rows; "
        f"counted from {report['score_from']} to {report['until']}"
    )
    for line in _lines(report):
        console.print(line)
    for notice in report["notices"]:
        console.print(notice)


def _lines(report: dict[str, Any]) -> Iterator[str]:
    if (said := report["conversion"]) is not None:
        yield ""
        yield f"conversion: {_classifier(said)}"
        yield (
            f"  expected over happened {_figure(said['calibration'])}"
            + (
                f", {_figure(said['calibration_to_end'])} if orders after the log's end are "
                f"allowed for ({said['censored']:,} clicks are cut short)"
                if said["censored"]
                else ""
            )
        )
        if said["model"]["served"] < 1:
            yield (
                f"  the model was served in {said['model']['served']:.0%} of the cases, else the "
                f"rule; by itself: {_short(said['model'])}"
            )
        yield f"  base rate known in hindsight: log-loss {_figure(said['constant_log_loss'])}"
        yield f"  batch logistic regression: {_short(said['batch'])}"
    yield from _potential("potential", report["potential"])
    yield from _potential("potential of categories", (report["potential"] or {}).get("categories"))
    yield from _demand("demand", "products", report["demand"])
    yield from _demand("demand of categories", "categories", report["demand_categories"])
    if (said := report["return"]) is not None:
        yield ""
        yield f"return in 28 days: {_classifier(said)}"
        yield f"  expected over happened {_figure(said['calibration'])}"
        yield f"  batch logistic regression: {_short(said['batch'])}"


def _potential(name: str, said: dict[str, Any] | None) -> Iterator[str]:
    for horizon, one in (said or {"horizons": {}})["horizons"].items():
        yield ""
        yield f"{name}, {horizon}: {_classifier(one)}"
        yield f"  {_confusion(one)}"
        for other, words in (
            ("momentum", "momentum rule"),
            ("batch", "batch logistic regression on the same features"),
            ("batch_lags", "batch logistic regression on the last four windows alone"),
        ):
            more = f"; {_confusion(one[other])}" if one[other] else ""
            yield f"  {words}: {_short(one[other])}{more}"


def _demand(name: str, kind: str, demand: dict[str, Any] | None) -> Iterator[str]:
    for horizon, said in (demand or {}).items():
        yield ""
        yield (
            f"{name}, {horizon}: {said['n']:,} forecasts of {said['products']:,} {kind}, MAE "
            f"{said['mae']:.2f} units, RMSE {said['rmse']:.2f}, RMSSE {_figure(said['rmsse'])}, "
            f"R² {_figure(said['r2'])}, bias {said['bias'] or 0.0:+.1%}, "
            f"{said['coverage']:.1%} between p10 and p90"
        )
        for simple, other in said["baselines"].items():
            alpha = f" at {other['alpha']:g}, chosen in hindsight" if "alpha" in other else ""
            yield f"  {simple}{alpha}: MAE {other['mae']:.2f}, RMSSE {_figure(other['rmsse'])}"
        for limit, words in (
            ("hindsight", "one number for each product, known in hindsight"),
            ("neighbours", "the mean of all other scored windows, those to come among them"),
        ):
            if (other := said[limit]) is not None:
                yield f"  {words}: MAE {other['mae']:.2f}, RMSSE {_figure(other['rmsse'])}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _classifier(said: dict[str, Any]) -> str:
    low, high = said["auc_ci"] or (None, None)
    return (
        f"{said['n']:,} predictions, {said['positives']:,} came true, AUC {_figure(said['auc'])} "
        f"({_figure(low)} to {_figure(high)}), log-loss {_figure(said['log_loss'])}"
    )


def _short(said: dict[str, Any] | None) -> str:
    if said is None:
        return "none"
    return f"AUC {_figure(said['auc'])}, log-loss {_figure(said['log_loss'])}"


def _confusion(said: dict[str, Any]) -> str:
    names = ("accuracy", "precision", "recall", "f1")
    return ", ".join(f"{name} {_figure(said[name])}" for name in names)
