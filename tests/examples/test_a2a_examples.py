"""The A2A example, run as it stands: offline, without a key."""

from __future__ import annotations

from pathlib import Path

from tests.examples.test_agent_examples import output


def test_two_agents_talk_over_a2a(tmp_path: Path) -> None:
    """A signed card, a streamed answer, one task for one message."""
    assert output("a2a_two_agents.py", tmp_path) == [
        "Claire offers: Translate",
        "signed by the expected DID: True",
        "Bonjour, le monde.",
        "completed",
        "sent twice, one task: True",
    ]
