"""What a routing decision costs, beside the bare hash and the SDKs of GrowthBook and Unleash; and a swap under load.

Every rival splits 10 % of the keys off, decides in this process, and is given each key anew, as a server does that
answers one user after another. GrowthBook: an experiment of two variations, `set_attributes` and `get_feature_value`.
Unleash: a toggle of `flexibleRollout` by `userId`, from a bootstrapped cache, without metrics. One that is not
installed is left out, and said to be. Times are medians of runs of many calls.

The swap: threads ask a host for the champion while versions are loaded, swapped in and taken away.

    .venv/bin/python benchmarks/router.py [--quick] [--json]
"""

import argparse
import hashlib
import importlib.util
import logging
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rig import machine, show
from xxhash import xxh3_64_intdigest

from overnight.registry.routing import Split
from overnight.serving.host import ModelHost
from overnight.serving.ports import VersionRef
from overnight.serving.router import Router

AIMS = {"choose_ns": 1000.0, "update_us": 5.0, "swap_failed": 0.0, "swap_dropped": 0.0}
"""What each may be at the most."""
NOT_INSTALLED = "not installed"
NOBODY = "http://127.0.0.1:9"
SPLIT = Split(model="nlu", champion="v1.0.0", candidate="v1.0.1", percentage=10.0, salt=5, deployment_id=1)
KEYS = [f"user-{number}" for number in range(1000)]


def median_ns(call: Callable[[str], object], runs: int) -> float:
    """Return the median nanoseconds of one call, over runs of one call for each key."""
    seen = []
    for _ in range(runs):
        before = time.perf_counter_ns()
        for key in KEYS:
            call(key)
        seen.append((time.perf_counter_ns() - before) / len(KEYS))
    return statistics.median(seen)


def router_figures(folder: Path, runs: int) -> dict[str, object]:
    """Return the cost of a decision, of a served request and of a new split; nobody answers this router."""
    with Router(NOBODY, state=folder) as router:
        router.update([SPLIT])

        def serve(key: str) -> None:
            with router.serve("nlu", key):
                pass

        found: dict[str, object] = {
            "hash_ns": median_ns(lambda key: xxh3_64_intdigest(key.encode(), 5), runs),
            "choose_ns": median_ns(lambda key: router.choose("nlu", key), runs),
            "serve_ns": median_ns(serve, max(1, runs // 10)),
            "update_us": median_ns(lambda key: router.update([SPLIT]), max(1, runs // 10)) / 1000,
        }
        router.close(timeout_s=0)
    return found


def growthbook(folder: Path) -> Callable[[str], object]:
    from growthbook import GrowthBook

    rule = {"variations": ["v1.0.0", "v1.0.1"], "weights": [0.9, 0.1], "hashAttribute": "id", "seed": "5"}
    made = GrowthBook(features={"nlu": {"defaultValue": "v1.0.0", "rules": [rule]}})

    def choose(key: str) -> object:
        made.set_attributes({"id": key})
        return made.get_feature_value("nlu", "v1.0.0")

    return choose


def unleash(folder: Path) -> Callable[[str], object]:
    from UnleashClient import UnleashClient
    from UnleashClient.cache import FileCache

    parameters = {"rollout": "10", "stickiness": "userId", "groupId": "nlu"}
    strategy = {"name": "flexibleRollout", "parameters": parameters, "constraints": []}
    toggle = {"name": "nlu", "type": "release", "enabled": True, "strategies": [strategy], "variants": []}
    cache = FileCache("bench", directory=str(folder))
    cache.bootstrap_from_dict({"version": 2, "features": [toggle]})
    made = UnleashClient(
        NOBODY, "bench", cache=cache, disable_metrics=True, disable_registration=True, verbose_log_level=50
    )
    made.initialize_client(fetch_toggles=False)
    return lambda key: made.is_enabled("nlu", {"userId": key})


PEERS = {"growthbook": growthbook, "UnleashClient": unleash}


def peer_figures(folder: Path, runs: int) -> dict[str, object]:
    """Return the cost of a decision of each peer, or why there is none."""
    found: dict[str, object] = {}
    for name, build in PEERS.items():
        where = f"{name.lower()}_ns"
        if importlib.util.find_spec(name) is None:
            found[where] = NOT_INSTALLED
            continue
        try:
            choose = build(folder)
            apart = sum(choose(key) in ("v1.0.1", True) for key in KEYS)
            # One that splits nothing off would be fast, and measured for nothing.
            found[where] = median_ns(choose, runs) if 50 < apart < 200 else f"failed: {apart} of {len(KEYS)} split off"
        except Exception as error:  # noqa: BLE001  # a peer may do anything; the others are measured
            found[where] = f"failed: {type(error).__name__}: {error}"
    return found


class Echo:
    """A model that does a little work and says who it is."""

    def __init__(self, number: str) -> None:
        self.number = number

    def predict(self, inputs: list[object]) -> list[object]:
        return [[self.number, one] for one in inputs]


def swap_figures(folder: Path, swaps: int) -> dict[str, object]:
    """Swap two versions back and forth under load; one is dropped that is not answered by one version."""
    refs = []
    for number in ("v1.0.0", "v1.0.1"):
        (folder / number).mkdir()
        (folder / number / "model").write_text(number)
        about = {"sha256": hashlib.sha256(number.encode()).hexdigest(), "size": len(number)}
        refs.append(VersionRef(model="m", number=number, folder=folder / number, manifest={"model": about}))
    host = ModelHost(lambda ref: Echo(ref.number), now_s=time.monotonic, timeout_s=lambda _: 30.0)
    host.load(refs[0])
    host.swap(refs[0])
    over = threading.Event()

    def ask() -> tuple[int, int, int]:
        asked = right = failed = 0
        while not over.is_set():
            asked += 1
            try:
                told = host.answer("m", [asked])
            except Exception:  # noqa: BLE001  # whatever it is, a user would have seen it
                failed += 1
            else:
                right += told.outputs == [[told.number, asked]]
        return asked, right, failed

    took_ns = []
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask) for _ in range(4)]
        began = time.perf_counter()
        for number in range(1, swaps + 1):
            new, old = refs[number % 2], refs[1 - number % 2]
            host.load(new)
            before = time.perf_counter_ns()
            host.swap(new)
            took_ns.append(time.perf_counter_ns() - before)
            host.unload(old)
        seconds = time.perf_counter() - began
        over.set()
        asked, right, failed = (sum(column) for column in zip(*(one.result() for one in futures), strict=True))
    return {
        "swaps": swaps,
        "swap_requests": asked,
        "swap_requests_per_s": asked / seconds,
        "swap_dropped": asked - right - failed,
        "swap_failed": failed,
        "swap_ns": statistics.median(took_ns),
    }


def figures(folder: Path, quick: bool) -> dict[str, object]:
    """Measure everything."""
    runs = 100 if quick else 1000
    (folder / "swap").mkdir()
    found = {
        **router_figures(folder / "state", runs),
        **peer_figures(folder, max(10, runs // 10)),
        **swap_figures(folder / "swap", 200 if quick else 1000),
    }
    for name in PEERS:
        theirs, ours = found[f"{name.lower()}_ns"], found["choose_ns"]
        found[f"times_{name.lower()}"] = theirs / ours if isinstance(theirs, float) else theirs
    found["missed"] = [name for name, aim in AIMS.items() if float(str(found[name])) > aim]
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls: a look, no figure to quote")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    # That nobody answers is meant to be so.
    logging.disable()
    with tempfile.TemporaryDirectory() as name:
        result = {"machine": machine(Path(name)), "router": figures(Path(name), options.quick)}
    show(result, as_json=options.json)
    return int(bool(result["router"]["missed"]))


if __name__ == "__main__":
    sys.exit(main())
