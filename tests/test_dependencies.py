"""What is installed is what constraints.txt names, all of it, and it fits together.

What takes long to import is not imported before it is needed.

Whether a version is known to be vulnerable cannot be asked without a network: docs/security.md
says how.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
EXTRAS = ("embedded", "evaluate", "dev")


def pins() -> dict[str, str]:
    """Versions of constraints.txt."""
    lines = [line for line in CONSTRAINTS.read_text("utf-8").splitlines() if line]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines]
    assert all(found), "a version that is not exact, or an address"
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def needed(name: str, extras: tuple[str, ...], seen: set[str]) -> Iterator[str]:
    """Name all packages that one needs on this machine, those of others' among them."""
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        marker, other = requirement.marker, canonicalize_name(requirement.name)
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        if other not in seen:
            seen.add(other)
            yield other
            yield from needed(other, tuple(requirement.extras), seen)


def test_every_package_is_pinned() -> None:
    """Those that others need as well, each at the version that is installed."""
    found = {}
    for name in needed("stream-scorer", EXTRAS, set()):
        try:
            found[name] = distribution(name).version
        except PackageNotFoundError:  # for another machine
            continue
    pinned = pins()
    assert len(found) > 50
    assert {name: pinned.get(name) for name in found} == found


def test_packages_fit_together() -> None:
    """None needs another than is installed."""
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_a_worker_starts_without_river() -> None:
    """Only the learner needs it, which may come a second or two after the others."""
    asked = "import sys, stream.agents.worker, stream.operating.web; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "faust" in loaded
    assert not {"river", "scipy", "pandas"} & set(loaded)
