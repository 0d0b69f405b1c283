"""Cold start of the command line against `python -c pass`: fresh processes, same interpreter.

help    `life --help`
K1      `session list` of a project whose daemon runs: a command that looks at the journal and answers
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import Claim, arguments, interleaved, report

BIN = Path(sys.executable).parent
RUNS = 10


def milliseconds(*command: str) -> Callable[[], float]:
    """A case: the mean wall time of RUNS fresh processes."""

    def run() -> float:
        began = time.perf_counter()
        for _ in range(RUNS):
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return (time.perf_counter() - began) / RUNS * 1000

    return run


@contextmanager
def a_project() -> Iterator[str]:
    """The data directory of a project whose arcand runs."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LIFE_KEY_FILE": f"{folder}/key/identity.key"}
        command = [str(BIN / "arcand"), "--port", "0", "--data-dir", f"{folder}/life"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as daemon:
            try:
                assert daemon.stdout is not None
                assert any("listens" in line for line in daemon.stdout)
                yield f"{folder}/life"
            finally:
                daemon.terminate()


def main() -> int:
    """Print the figures and the ratios."""
    options = arguments(__doc__ or "")
    with a_project() as data:
        listing = f"from life.cli.session import session; session(['list', '--data-dir', {data!r}])"
        cases = {
            "life --help": milliseconds(str(BIN / "life"), "--help"),
            "session list": milliseconds(sys.executable, "-c", listing),
            "import life": milliseconds(sys.executable, "-c", "import life"),
            "python -c pass": milliseconds(sys.executable, "-c", "pass"),
        }
        results = interleaved(cases, rounds=options.rounds)
    claims = [
        Claim("K1", "session list", "python -c pass", at_most=3.5),
        Claim("life --help vs. python -c pass", "life --help", "python -c pass", at_most=6.0),
        Claim("import life vs. python -c pass", "import life", "python -c pass", at_most=1.5),
    ]
    return report(results, "ms", claims)


if __name__ == "__main__":
    sys.exit(main())
