"""The shortest history that still fails: fewer faults, fewer events, fewer workers, in order."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from simulation.faults import KINDS, Fault
from simulation.history import Plan, Verdict, run
from simulation.world import Size

EARLY = 8
"""A fault is sought among the first so many requests of each kind."""
FEW = (1, 2, 4)
"""Events of a history that is sought."""
TRIES = 120

T = TypeVar("T")
Fails = Callable[[Plan], bool]
"""Says whether a history fails as the one does that is to be shortened."""


def shortest(plan: Plan) -> Plan:
    """Leave out of a history that fails whatever is not needed for that."""
    kind = _kind(plan)

    def fails(plan: Plan) -> bool:
        return _kind(plan) == kind

    plan = _lessened(replace(plan, script=run(plan).struck), fails)
    while (other := _sought(plan, fails)) is not None:
        plan = _lessened(other, fails)
    return plan


def _lessened(plan: Plan, fails: Fails) -> Plan:
    """Leave out faults, then what is large, then events, as long as something can be."""

    def fails_with(part: str, make: Callable[[Any], Any]) -> Callable[[Sequence[Any]], bool]:
        return lambda kept: fails(replace(plan, **{part: make(kept)}))

    before = None
    while plan != before:
        before = plan
        struck = list(run(plan).struck.items())
        plan = replace(plan, script=dict(least(struck, fails_with("script", dict))))
        for simpler in _simpler(plan):
            if simpler != plan and fails(simpler):
                plan = simpler
                break
        arrivals = least(plan.arrivals, fails_with("arrivals", tuple))
        plan = replace(plan, arrivals=tuple(arrivals))
    return plan


def _sought(plan: Plan, fails: Fails) -> Plan | None:
    """Look for a shorter history of the same shop, with one fault or two of any kind.

    The place of a fault says how many requests came before it. So it often cannot stay when
    events are left out, and what leaving out ends with is not the shortest.
    """
    dice = Random(plan.seed)
    known: dict[str, list[str]] = defaultdict(list)
    for place in run(replace(plan, script={})).asked:  # before the first fault all are as here
        if int(place.rsplit(" ", 1)[1]) <= EARLY:
            known[place.split()[1]].append(place)
    verbs, kinds = list(known), [fault.kind for fault in (plan.script or {}).values()] or KINDS
    for number in (n for n in FEW if n < len(plan.arrivals)):
        for tried in range(TRIES):
            chosen = sorted(dice.sample(range(len(plan.arrivals)), number))
            script = {
                dice.choice(known[dice.choice(verbs)]): Fault(
                    dice.choice(dice.choice([KINDS, kinds])), 0.2 + 3 * dice.random()
                )
                for _ in range(1 + tried % 2)
            }
            arrivals = tuple(plan.arrivals[n] for n in chosen)
            other = replace(plan, arrivals=arrivals, script=script)
            if fails(other):
                return other
    return None


def _simpler(plan: Plan) -> Iterator[Plan]:
    """The same history with something less to it, the simplest first."""
    for workers in range(1, plan.workers):
        yield replace(plan, workers=workers, shuffle=0.0, size=Size())
        yield replace(plan, workers=workers)
    yield replace(plan, shuffle=0.0, size=Size())
    yield replace(plan, size=Size())
    yield replace(plan, shuffle=0.0)


def _kind(plan: Plan) -> str:
    """Which check fails first; empty if none does."""
    problems = run(plan).problems
    return problems[0].partition(":")[0] if problems else ""


def least(parts: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """Leave out parts, many at a time at first, until none can be spared.

    Source:
        Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE
        Transactions on Software Engineering, 2002: ddmin, without its tests of subsets.

    >>> least(range(100), lambda kept: {7, 61} <= set(kept))
    [7, 61]
    """
    kept = list(parts)
    size = len(kept)
    while size:
        at = 0
        while at < len(kept):
            fewer = kept[:at] + kept[at + size :]
            if fails(fewer):
                kept = fewer
            else:
                at += size
        size //= 2
    return kept


def told(plan: Plan) -> str:
    """Tell a history that fails, one line a step, and what is wrong in the end."""
    verdict = run(plan, told=True)
    return "\n".join([*_headline(plan, verdict), *verdict.lines, *verdict.problems])


def _headline(plan: Plan, verdict: Verdict) -> Iterator[str]:
    yield (
        f"seed {plan.seed}: {len(plan.arrivals)} records, {plan.workers} workers, "
        f"{len(verdict.struck)} faults"
    )
    yield from (f"    {place}: {fault.kind}" for place, fault in verdict.struck.items())
