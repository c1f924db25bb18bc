"""Pictures of an evaluation."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from stream.errors import Misconfigured
from stream.evaluation.evaluating import Evaluation
from stream.evaluation.measures import Floats
from stream.units import Millis, rfc3339, span_name

SHOWN = 4
"""Best sellers whose forecasts are drawn."""
MANY = 1_000
"""Forecasts above which dots are small and counts on a log scale."""
SIZE = (6.4, 4.4)


def plot(run: Evaluation, report: dict[str, Any], folder: Path) -> None:
    """Draw everything that was evaluated.

    Raises:
        Misconfigured: matplotlib is not installed, or the folder cannot be written.
    """
    if find_spec("matplotlib") is None:
        raise Misconfigured(
            "--plots needs matplotlib. It comes with: pip install 'stream-scorer[evaluate]'"
        )
    import_module("matplotlib").use("Agg")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _Album(import_module("matplotlib.pyplot"), folder).draw(run, report)
    except OSError as error:
        raise Misconfigured(f"{folder} cannot be written: {error.strerror}.") from None


class _Album:
    def __init__(self, pyplot: Any, folder: Path) -> None:
        self._pyplot = pyplot
        self._folder = folder

    def draw(self, run: Evaluation, report: dict[str, Any]) -> None:
        curves = run.probabilities()
        if curves:
            self._reliability(curves)
            self._roc(curves)
        if report["conversion"] is not None and report["conversion"]["delays"]:
            self._delays(report["conversion"]["delays"])
        for length, horizon in run.horizons.items():
            columns = horizon.demand.scored(run.plan.best_sellers)
            if len(columns["actual"]):
                name = span_name(Millis(length))
                self._against(columns, name)
                self._residuals(columns, name)
                best = horizon.demand.best_sellers(SHOWN)
                names = {number: p for p, number in horizon.history.numbers.items()}
                self._bands(horizon.demand.scored(), [(n, names[n]) for n in best.tolist()], name)
        if report["demand"]:
            self._errors(report["demand"])

    def _begin(self, title: str, across: str, up: str) -> tuple[Any, Any]:
        figure, axes = self._pyplot.subplots(figsize=SIZE, layout="constrained")
        axes.set(title=title, xlabel=across, ylabel=up)
        axes.grid(alpha=0.3)
        return figure, axes

    def _end(self, figure: Any, name: str) -> None:
        figure.savefig(self._folder / f"{name}.png", dpi=120)
        self._pyplot.close(figure)

    def _reliability(self, curves: dict[str, tuple[Floats, Floats]]) -> None:
        figure, axes = self._begin(
            "Reliability: tenths of the predictions, the least sure first",
            "predicted probability (mean)",
            "share that came true",
        )
        low = 1.0
        for name, (p, y) in curves.items():
            parts = [part for part in np.array_split(np.argsort(p), 10) if len(part)]
            said, came = [p[part].mean() for part in parts], [y[part].mean() for part in parts]
            low = min([low, *[value for value in (*said, *came) if value > 0]])
            axes.plot(np.maximum(said, 1e-5), np.maximum(came, 1e-5), "o-", label=name)
        axes.plot([low / 2, 1], [low / 2, 1], "k--", linewidth=1, label="as said")
        axes.set(xscale="log", yscale="log", xlim=(low / 2, 1.1), ylim=(low / 2, 1.1))
        axes.legend()
        self._end(figure, "reliability")

    def _roc(self, curves: dict[str, tuple[Floats, Floats]]) -> None:
        figure, axes = self._begin("ROC", "share of false ones found", "share of true ones found")
        for name, (p, y) in curves.items():
            ranked = y[np.argsort(-p, kind="stable")]
            if 0 < ranked.sum() < len(ranked):
                found, false = np.cumsum(ranked), np.cumsum(1 - ranked)
                axes.plot([0, *false / false[-1]], [0, *found / found[-1]], label=name)
        axes.plot([0, 1], [0, 1], "k--", linewidth=1, label="chance")
        axes.legend()
        self._end(figure, "roc")

    def _delays(self, delays: dict[str, float]) -> None:
        figure, axes = self._begin(
            "Delay of orders", "time from the click to its order", "share of orders that have come"
        )
        axes.plot(list(delays), list(delays.values()), "o-")
        axes.set_ylim(0, 1.05)
        self._end(figure, "delays")

    def _against(self, columns: dict[str, Floats], horizon: str) -> None:
        figure, axes = self._begin(
            f"Demand of the next {horizon}", "predicted (mean), units", "actual, units"
        )
        size = 6 if len(columns["actual"]) > MANY else 20
        axes.scatter(
            columns["mean"] + 0.1, columns["actual"] + 0.1, s=size, alpha=0.3, linewidths=0
        )
        top = max(columns["mean"].max(), columns["actual"].max()) + 0.1
        axes.plot([0.1, top], [0.1, top], "k--", linewidth=1, label="as said")
        axes.set(xscale="log", yscale="log")
        axes.legend(title="0.1 is 0")
        self._end(figure, f"actual_{horizon}")

    def _residuals(self, columns: dict[str, Floats], horizon: str) -> None:
        figure, axes = self._begin(
            f"Residuals of demand, next {horizon}", "predicted less actual, units", "forecasts"
        )
        error = columns["mean"] - columns["actual"]
        edge = max(1.0, float(np.quantile(np.abs(error), 0.99)))
        axes.hist(np.clip(error, -edge, edge), bins=60)
        axes.axvline(float(error.mean()), color="k", linestyle="--", label="mean")
        axes.set_yscale("log" if len(error) > MANY else "linear")
        axes.legend(title="1 % at the edges")
        self._end(figure, f"residuals_{horizon}")

    def _bands(
        self, columns: dict[str, Floats], products: list[tuple[int, str]], horizon: str
    ) -> None:
        if not products:
            return
        figure, grid = self._pyplot.subplots(
            len(products), 1, figsize=(7.2, 2.2 * len(products)), sharex=True, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        for axes, (number, name) in zip(grid[:, 0], products, strict=True):
            mine = np.flatnonzero(columns["product"] == number)
            mine = mine[np.argsort(columns["time"][mine], kind="stable")]
            days = [rfc3339(Millis(int(time)))[:10] for time in columns["time"][mine]]
            times = np.array(days, dtype="datetime64[D]")
            axes.fill_between(
                times, columns["p10"][mine], columns["p90"][mine], alpha=0.25, label="p10 to p90"
            )
            axes.plot(times, columns["mean"][mine], label="mean")
            axes.plot(times, columns["actual"][mine], "k.-", label="actual")
            axes.set(title=f"product {name}", ylabel=f"units in {horizon}")
            axes.grid(alpha=0.3)
        grid[0, 0].legend(fontsize="small")
        grid[-1, 0].set_xlabel("forecast made on")
        figure.autofmt_xdate()
        self._end(figure, f"best_sellers_{horizon}")

    def _errors(self, demand: dict[str, Any]) -> None:
        figure, axes = self._begin(
            "Error by horizon", "horizon", "RMSSE (1: the naive forecast before the scored part)"
        )
        names = ["served", *next(iter(demand.values()))["baselines"]]
        width = 0.8 / len(names)
        for place, name in enumerate(names):
            heights = [
                (said if name == "served" else said["baselines"][name])["rmsse"] or 0.0
                for said in demand.values()
            ]
            axes.bar(np.arange(len(demand)) + place * width, heights, width, label=name)
        axes.set_xticks(np.arange(len(demand)) + 0.4 - width / 2, list(demand))
        figure.legend(loc="outside right upper")
        self._end(figure, "error_by_horizon")
