"""A flame graph of a worker that reads a backlog: where its CPU time goes, function by function.

    python bench/flame.py --events 500000 docs/images/flame.svg

py-spy looks at the process from outside, from an environment of its own under `.venv-bench/`.
"""

import argparse
import asyncio
import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import engines
from redis import Redis

from stream.bench.counting import Counter
from stream.bench.rig import plain_settings, rig, run_worker
from stream.bench.shop import BusyShop, fill

NEEDED = Path(__file__).with_name("flame.txt")
TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*</text>')
FRAME = re.compile(r"<g><title>[^<]*?, ([\d.]+)%\)</title>.*?</g>", re.DOTALL)


def main() -> None:
    """Fill the topics, start a worker, look at it while it reads, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=20, help="for which it is looked at")
    parser.add_argument(
        "--least", type=float, default=0.3, help="percent: what took less is left out"
    )
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    spy = engines.environment("py-spy", NEEDED, _say).with_name("py-spy")
    shop = BusyShop(options.events)
    with rig(plain_settings(), _say) as here:
        _say(f"writing {options.events:,} events")
        asyncio.run(fill(here.settings, shop, options.events))
        with run_worker(here.settings) as process, Redis.from_url(here.settings.redis) as redis:
            counter = Counter(redis, here, [process], shop)
            while not counter.look().events:
                time.sleep(0.2)
            _say(f"looking at the worker for {options.seconds} s")
            options.picture.parent.mkdir(parents=True, exist_ok=True)
            drawn = options.picture.with_suffix(".whole.svg")
            subprocess.run(
                [spy, "record", "--pid", str(process.pid), "--duration", str(options.seconds),
                 "--rate", "200", "--function", "--format", "flamegraph", "--output", drawn],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
    options.picture.write_text(thinned(drawn.read_text(), options.least))
    drawn.unlink()
    _say(f"{options.picture}: {options.picture.stat().st_size / 1000:.0f} kB")


def thinned(picture: str, least: float) -> str:
    """Leave out frames that took less than so many percent: nobody could read them."""
    picture = TITLE.sub(r"\1a worker that reads a backlog</text>", picture)  # instead of a command
    return FRAME.sub(lambda frame: frame[0] if float(frame[1]) >= least else "", picture)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
