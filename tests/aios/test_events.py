"""The taxonomy: every kind round-trips, the unknown survives, the malformed is marked and can't be written."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios import events
from life.aios.errors import MalformedEventError
from life.aios.events import KINDS, Custom, Kind, decode_kind, encode_kind
from life.aios.events.codec import check_payload, check_payload_of, custom, is_malformed, one_line, read_custom

# aios.md §4, in the order of that section.
TAXONOMY = [
    "UserMessage",
    "ExternalSignal",
    "SessionCreated",
    "SessionResumed",
    "SessionClosed",
    "BranchCreated",
    "BranchMerged",
    "PhaseEntered",
    "DeliberationProposed",
    "RunStarted",
    "RunFinished",
    "RunErrored",
    "StepStarted",
    "StepFinished",
    "AssistantTextDelta",
    "AssistantMessageCommitted",
    "TextDelta",
    "Message",
    "ToolCallRequested",
    "ToolCallStarted",
    "ToolCallCompleted",
    "ToolCallFailed",
    "KnowledgeSearched",
    "KnowledgeRetrieved",
    "KnowledgeEvaluated",
    "FileWrite",
    "FileDelete",
    "FileRename",
    "FileMutated",
    "StatePatchCommitted",
    "StatePatched",
    "ContextCompacted",
    "PolicyEvaluated",
    "ApprovalRequested",
    "ApprovalResolved",
    "SnapshotCreated",
    "CheckpointCreated",
    "CheckpointRestored",
    "SandboxCreated",
    "SandboxExecuted",
    "SandboxViolation",
    "SandboxDestroyed",
    "ObservationAppended",
    "ReflectionCompacted",
    "MemoryProposed",
    "MemoryCommitted",
    "MemoryTombstoned",
    "Heartbeat",
    "StateEstimated",
    "BudgetUpdated",
    "ModeChanged",
    "GatesUpdated",
    "CircuitBreakerTripped",
    "VoiceSessionStarted",
    "VoiceInputChunk",
    "VoiceOutputChunk",
    "VoiceSessionStopped",
    "VoiceAdapterError",
    "WorldModelObserved",
    "WorldModelRollout",
    "IntentProposed",
    "IntentEvaluated",
    "IntentApproved",
    "IntentRejected",
    "HiveTaskCreated",
    "HiveArtifactShared",
    "HiveSelectionMade",
    "HiveGenerationCompleted",
    "HiveTaskCompleted",
    "Queued",
    "Steered",
    "QueueDrained",
    "ErrorRaised",
    "Custom",
    "KernelVmCreated",
    "KernelVmForked",
    "KernelVmSnapshotted",
    "KernelVmHibernated",
    "KernelVmResumed",
    "KernelVmDestroyed",
    "KernelDispatchStarted",
    "KernelDispatchCompleted",
    "KernelDispatchDenied",
    "KernelForkDenied",
    "KernelEgressRecorded",
    "KernelPolicyViolated",
    "KernelUsageRecorded",
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def kinds_of(name: str) -> st.SearchStrategy[Kind]:
    """Any instance of a kind, built from its own annotations."""
    kind = KINDS[name]
    fields = {}
    for field in msgspec.structs.fields(kind):
        strategy = json_values if "Annotated" in str(field.type) or field.type is object else st.from_type(field.type)
        fields[field.name] = strategy
    return st.builds(kind, **fields)


def finite(value: object) -> bool:
    return "inf" not in repr(value) and "nan" not in repr(value)


def test_the_taxonomy_is_complete() -> None:
    """All 87 kinds of aios.md §4 and no others."""
    assert sorted(KINDS) == sorted(TAXONOMY)
    assert len(TAXONOMY) == 87


@pytest.mark.parametrize("name", TAXONOMY)
def test_every_kind_round_trips(name: str) -> None:
    """Encode and decode give the same value; the tag is the class name; absent options are left out."""

    @given(kinds_of(name).filter(finite))
    def round_trips(kind: Kind) -> None:
        payload = encode_kind(kind)
        assert json.loads(payload)["type"] == name
        assert b":null" not in payload or b'"data"' in payload or json.loads(payload)
        assert encode_kind(decode_kind(payload)) == payload

    round_trips()


def test_optional_fields_are_omitted_when_absent_and_null_is_accepted() -> None:
    """aios.md §1: written by leaving out, read in both spellings."""
    assert encode_kind(events.SessionResumed()) == b'{"type":"SessionResumed"}'
    assert decode_kind(b'{"type":"SessionResumed","from_snapshot":null}') == events.SessionResumed()


@given(
    st.text(min_size=1, max_size=12).filter(lambda name: name not in KINDS),
    st.dictionaries(st.text(max_size=6), json_values),
)
def test_an_unknown_kind_reads_as_custom_with_all_its_fields(name: str, fields: dict[str, object]) -> None:
    """aios.md §5 rule 2."""
    fields.pop("type", None)
    kind = decode_kind(json.dumps({"type": name, **fields}).encode())
    assert kind == Custom(event_type=name, data=fields)  # type: ignore[arg-type]
    assert not is_malformed(kind)


def test_a_kind_without_tag_reads_as_unknown() -> None:
    """aios.md §5 rule 3."""
    assert decode_kind(b'{"a":1}') == Custom(event_type="Unknown", data={"a": 1})


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"UserMessage"}',
        b'{"type":"UserMessage","content":1}',
        b'{"type":"FileWrite","path":"a","blob_hash":"h","size_bytes":"many"}',
        b'{"type":"PhaseEntered","phase":"dancing"}',
        b'{"type":"Custom"}',
    ],
)
def test_a_malformed_known_kind_is_read_marked_and_refused_on_append(payload: bytes) -> None:
    """aios.md §5 rule 4 and its mend: replay goes on, a writer gets an error."""
    kind = decode_kind(payload)
    assert is_malformed(kind)
    with pytest.raises(MalformedEventError):
        check_payload(payload)


@pytest.mark.parametrize("payload", [b"", b"[]", b"1", b"{", b'{"type":1}x', b"\xff"])
def test_what_is_no_json_object_can_not_be_appended(payload: bytes) -> None:
    """An error with a code, whatever the bytes."""
    with pytest.raises(MalformedEventError):
        check_payload(payload)


class Paid(msgspec.Struct, frozen=True):
    """A subsystem's payload."""

    amount_micro: int


def test_a_subsystems_event_is_custom_and_typed() -> None:
    """Written under its dotted name, read back typed; other names and unfit payloads give None."""
    kind = custom("finance.paid", Paid(5))
    assert encode_kind(kind) == b'{"type":"Custom","event_type":"finance.paid","data":{"amount_micro":5}}'
    assert read_custom(kind, "finance.paid", Paid) == Paid(5)
    assert read_custom(kind, "finance.lost", Paid) is None
    assert read_custom(Custom(event_type="finance.paid", data={"amount_micro": "x"}), "finance.paid", Paid) is None
    assert read_custom(events.ErrorRaised(message="m"), "finance.paid", Paid) is None


@pytest.mark.parametrize(
    "payload",
    [b'{"type":"VisionResult","score":1e999}', b'{"type":"UserMessage","later":-1e999}'],
)
def test_legal_json_without_a_value_is_read_and_not_written(payload: bytes) -> None:
    """Numbers beyond every float: a replay reaches its end, a writer gets an error."""
    assert isinstance(decode_kind(payload), Custom)
    with pytest.raises(MalformedEventError):
        check_payload(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"UserMessage","content":"\xff"}',
        b'{"type":"UserMessage","content":"a","later":"\xff"}',
        b'{"type":"Later","content":"\xff"}',
        b'{"type":"UserMessage","content":"a"} {}',
        b'{"type":"UserMessage","content":"a","later":tru}',
        b'{"type":"UserMessage","content":"\\ud800"}',
        b'{"type":"UserMessage","type":"Message","content":"a"}',
        b'{"type":"Later","deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":"UserMessage",\n"content":"two lines"}',
        b'{"type":"Later",\r"content":"two lines"}',
    ],
)
def test_payloads_that_would_spoil_a_line_of_json_are_refused(payload: bytes) -> None:
    """A record must be one line of valid UTF-8, also in fields that this version skips."""
    with pytest.raises(MalformedEventError):
        check_payload(payload)


def test_line_breaks_between_tokens_can_be_made_blanks() -> None:
    """Raw line breaks can only stand between tokens; inside of texts JSON writes them as escapes."""
    payload = json.dumps({"type": "UserMessage", "content": "a\nb\rc"}, indent=2).encode()
    assert json.loads(one_line(payload)) == json.loads(payload)
    assert check_payload(one_line(payload)) == events.UserMessage(content="a\nb\rc")
    assert one_line(b"{}") == b"{}"


def test_a_payload_must_be_of_the_kind_it_is_said_to_be() -> None:
    """The name and the tag agree; a payload without a tag is `Unknown`."""
    good = encode_kind(events.UserMessage(content="a"))
    assert check_payload_of("UserMessage", good) == events.UserMessage(content="a")
    assert check_payload_of("UserMessage", b' { "content": "a", "type": "UserMessage" } ') == decode_kind(good)
    assert check_payload_of("Unknown", b"{}") == Custom(event_type="Unknown", data={})
    for name, payload in (
        ("Message", good),
        ("Later", good),
        ("UserMessage", b'{"content":"a"}'),
        ("UserMessage", b"{}"),
    ):
        with pytest.raises(MalformedEventError):
            check_payload_of(name, payload)


def test_a_custom_event_may_borrow_the_name_of_a_kind() -> None:
    """Older journals hold Custom events named `BranchMerged`; they are what they are and may be written."""
    payload = b'{"type":"Custom","event_type":"BranchMerged","data":{"anything":1}}'
    assert check_payload(payload) == Custom(event_type="BranchMerged", data={"anything": 1})
