"""Injects faults and prints figures: the server must recover byte for byte. Asserts no time.

    python tests/bench/bench_faults.py [NAME ...] [--quick] [--seed 0]

Every fault runs against a server of its own, on this machine only. After every fault the server
must serve a healthy session. "exact" means that frame messages, latents and events are byte for
byte those of the engine without a server, with none lost and none sent twice. The exit code is 1
if anything was not as it must be.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from fault_material import Fault, SimulationData
from faults_by_strangers import flood, fuzz, parsers
from faults_inside import clock_jumps, engine_raises
from faults_of_connections import kills, resumes, resumes_across_workers, slow_readers
from faults_of_the_store import claimed_twice, store_killed, store_slow, workers_killed
from raw_stream import RefusedError
from served import machine

FAULTS: dict[
    Callable[[SimulationData], Fault], tuple[int, int]
] = {  # repetitions, and repetitions with --quick
    kills: (1000, 100),
    resumes: (500, 50),
    resumes_across_workers: (500, 50),
    slow_readers: (10, 4),
    workers_killed: (200, 20),
    claimed_twice: (200, 20),
    store_killed: (100, 20),
    store_slow: (100, 20),
    engine_raises: (400, 40),
    clock_jumps: (50, 10),
    flood: (500, 150),
    fuzz: (5000, 300),
    parsers: (100_000, 3000),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = {fault.__name__: fault for fault in FAULTS}
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        choices=[[], *names],
        help=f"run only these faults: {', '.join(names)}",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions, or fewer")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(machine())
    failed = 0
    for name in options.names or names:
        fault = names[name]
        try:
            outcome = fault(SimulationData(FAULTS[fault][options.quick], options.seed))
        except (OSError, RefusedError) as error:  # the server did not serve at all
            outcome = Fault(f"{type(error).__name__}: {error}", False)
        print(f"{name:22} {'right' if outcome.right else 'WRONG'}  {outcome.figures}", flush=True)
        failed += not outcome.right
    return min(failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
