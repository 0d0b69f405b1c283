"""One event of everything that judges, Spaces and demos write into a session, as their makers describe it."""

from __future__ import annotations

from typing import Any, Final

_PEER: Final = {"identity": "c200" + "ab" * 30, "name": "ben", "is_agent": True}
_HIRE: Final[dict[str, Any]] = {
    "hire_id": "01JD0000000000000000000000",
    "peer": _PEER,
    "title": "Check five licences",
    "price_micro": 20_000,
}
_TEXT: Final = "I can. <b>Now</b>, [[even]]."
_HEARD: Final = [{"message_id": 8, "from": _PEER, "text": _TEXT, "at_us": 1_795_000_003_000_000}]
_CHANNEL: Final = {"space_id": 1, "channel_id": 3, "channel": "agent-logs", "thread_id": 0}
_ADA: Final = {
    "identity": "c2" * 32,
    "name": "ada",
    "is_agent": True,
    "skills": [],
    "price_micro": None,
    "online": False,
}
_BEN: Final = {
    **_PEER,
    "skills": ["licences"],
    "price_micro": 20_000,
    "currency": "USDC",
    "trust_micro": 500_000,
    "online": True,
}

NEIGHBOURS: Final[dict[str, dict[str, Any]]] = {
    "demo.opened": {
        "slug": "research",
        "how": "run",
        "suggestion": 0,
        "simulated": ["A peer on loopback (simulated)."],
    },
    "spaces.peers_found": {
        "call_id": "call-1",
        "tool": "spaces_find_agent",
        "skill": "licences",
        "text": "",
        "peers": [_BEN, _ADA],
    },
    "spaces.channels_seen": {
        "call_id": "call-2",
        "tool": "spaces_list_channels",
        "space_id": 1,
        "channels": [
            {"id": 3, "name": "agent-logs", "type": "agent_log"},
            {"id": 4, "name": "general", "type": "text"},
        ],
    },
    "spaces.channel_created": {
        "call_id": "call-3",
        "tool": "spaces_create_channel",
        "space_id": 1,
        "channel_id": 5,
        "name": "licences",
    },
    "spaces.message_sent": {
        "call_id": "call-4",
        "tool": "spaces_send_message",
        **_CHANNEL,
        "message_id": 7,
        "text": "Who can check licences?",
        "at_us": 1_795_000_000_000_000,
    },
    "spaces.messages_read": {
        "call_id": "call-5",
        "tool": "spaces_read_messages",
        **_CHANNEL,
        "count": 1,
        "last": _HEARD,
    },
    "spaces.dm_sent": {
        "call_id": "call-6",
        "tool": "spaces_send_dm",
        "peer": _PEER,
        "conversation_id": 2,
        "message_id": 9,
        "text": "Five licences, please.",
        "at_us": 1_795_000_004_000_000,
    },
    "spaces.dms_read": {
        "call_id": "call-7",
        "tool": "spaces_read_dms",
        "peer": _PEER,
        "conversation_id": 2,
        "count": 1,
        "last": _HEARD,
    },
    "spaces.logged": {
        "call_id": "call-8",
        "tool": "spaces_log_event",
        "channel_id": 3,
        "message_id": 10,
        "kind": "research.began",
        "severity": "info",
    },
    "spaces.asked": {
        "call_id": "call-9",
        "tool": "spaces_ask",
        "ask_id": "01JD0000000000000000000001",
        "peer": _PEER,
        "question": "MIT or not?",
        "status": "answered",
        "answer": "MIT.",
    },
    "spaces.hired": {
        "call_id": "call-10",
        "tool": "spaces_hire",
        "role": "customer",
        **_HIRE,
        "task": "Which of the five has a licence file?",
        "currency": "USDC",
        "deadline_us": 1_795_003_600_000_000,
        "review_s": 86_400,
        "state": "offered",
        "escrow": "held",
        "house": "house",
    },
    "spaces.hire_changed": {
        "call_id": "call-11",
        "tool": "spaces_hired",
        "role": "customer",
        **_HIRE,
        "state": "paid",
        "was": "delivered",
        "paid_micro": 20_000,
        "refunded_micro": 0,
        "escrow": "released",
        "reason": "",
        "result": "Two of five have none.",
        "result_sha256": "ab" * 32,
        "at_us": 1_795_000_100_000_000,
    },
    "spaces.rated": {
        "call_id": "call-12",
        "tool": "spaces_rate",
        "hire_id": _HIRE["hire_id"],
        "peer": _PEER,
        "stars": 4,
        "comment": "",
        "trust_micro": 560_000,
    },
    "demo.peers_found": {
        "skill": "licences",
        "peers": [{"name": "Lena", "skills": ["licences"], "price_micro": 20_000}],
    },
    "demo.peer_hired": {
        "peer": "Lena",
        "url": "http://lena.demo.localhost/work",
        "task": "Check the licences.",
        "price_micro": 20_000,
        "state": "paid",
        "delivered": "Done.",
    },
    "eval.InlineCompleted": {
        "evaluator": "tool_errors",
        "score": 0.95,
        "label": "good",
        "layer": "execution",
        "session_id": "every-kind",
        "run_id": "run-1",
        "explanation": "One of seven calls failed and was repaired.",
    },
    "eval.AsyncCompleted": {
        "evaluator": "judge",
        "scores": [
            {
                "evaluator": "judge",
                "value": 0.72,
                "label": "warning",
                "layer": "reasoning",
                "explanation": "The summary leaves out one source.",
            }
        ],
        "session_id": "every-kind",
        "run_id": "run-1",
        "duration_ms": 900,
    },
    "eval.QualityChanged": {
        "session_id": "every-kind",
        "aggregate_quality": 0.78,
        "trend": -0.04,
        "inline_count": 1,
        "async_count": 1,
    },
    "demo.branch_offered": {
        "title": "With stricter rules",
        "reason": "Two candidates lack a licence check.",
        "before_sequence": 3,
        "message": "Leave out what has no licence file.",
    },
}
