"""Cold start of the command line: `life --help` against `python -c pass`, fresh processes, same interpreter."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from measure import Claim, arguments, interleaved, report

BIN = Path(sys.executable).parent
RUNS = 10


def milliseconds(*command: str) -> Callable[[], float]:
    """A case: the mean wall time of RUNS fresh processes."""

    def run() -> float:
        began = time.perf_counter()
        for _ in range(RUNS):
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return (time.perf_counter() - began) / RUNS * 1000

    return run


def main() -> int:
    """Print the figures and the ratio."""
    options = arguments(__doc__ or "")
    cases = {
        "life --help": milliseconds(str(BIN / "life"), "--help"),
        "import life": milliseconds(sys.executable, "-c", "import life"),
        "python -c pass": milliseconds(sys.executable, "-c", "pass"),
    }
    results = interleaved(cases, rounds=options.rounds)
    claims = [
        Claim("life --help vs. python -c pass", "life --help", "python -c pass", at_most=6.0),
        Claim("import life vs. python -c pass", "import life", "python -c pass", at_most=1.5),
    ]
    return report(results, "ms", claims)


if __name__ == "__main__":
    sys.exit(main())
