"""Every benchmark in turn: `python -m benches [--quick] [NAME …]`. Each prints its figures and its ratios of one run."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

BENCHES = (
    "journal_append",
    "journal_busy_loop",
    "journal_size",
    "journal_replay",
    "journal_start",
    "journal_nats",
    "file_manifests",
    "knowledge_query",
    "stream_fanout",
    "payment_crypto",
    "payment_client",
    "payment_middleware",
    "payment_memory",
    "payment_end_to_end",
    "payment_chain_calls",
    "credit_answers",
    "identity_tokens",
    "custody_signing",
    "custody_soma",
    "first_token",
    "sandbox_overhead",
    "agent_turn",
    "tools_together",
    "spaces_embedded",
    "spaces_nats",
    "context_build",
    "session_reconstruct",
    "stream_idle",
    "file_search",
    "agent_system",
    "agent_memory",
    "agent_peers",
    "regulator",
    "telemetry",
    "workspace_page",
    "cold_start",
)


def main() -> int:
    """Run them; the exit code is 1 when one could not run or missed a goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look, not a result")
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], help="which; all unless told otherwise")
    options = parser.parse_args()
    failed = []
    for name in options.names or BENCHES:
        print(f"\n=== {name}", flush=True)
        began = time.monotonic()
        command = [sys.executable, f"benches/{name}.py", *(["--quick"] if options.quick else [])]
        code = subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode
        print(f"    ({time.monotonic() - began:.0f} s)", flush=True)
        if code:
            failed.append(name)
    if failed:
        print(f"\nMissed a goal or could not run: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
