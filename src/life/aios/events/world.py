"""Voice, world models, hive tasks and virtual machines."""

from __future__ import annotations

from life.aios.events.kind import Kind
from life.aios.json import Json


class VoiceSessionStarted(Kind, frozen=True, kw_only=True):
    """A voice session opened."""

    voice_session_id: str
    adapter: str
    model: str
    sample_rate_hz: int
    channels: int


class VoiceInputChunk(Kind, frozen=True, kw_only=True):
    """Sound came in."""

    voice_session_id: str
    chunk_index: int
    bytes: int
    format: str


class VoiceOutputChunk(Kind, frozen=True, kw_only=True):
    """Sound went out."""

    voice_session_id: str
    chunk_index: int
    bytes: int
    format: str


class VoiceSessionStopped(Kind, frozen=True, kw_only=True):
    """A voice session closed."""

    voice_session_id: str
    reason: str


class VoiceAdapterError(Kind, frozen=True, kw_only=True):
    """The voice adapter failed."""

    voice_session_id: str
    message: str


class WorldModelObserved(Kind, frozen=True, kw_only=True):
    """A world model took in a state."""

    state_ref: str
    meta: Json = None


class WorldModelRollout(Kind, frozen=True, kw_only=True):
    """A world model imagined a trajectory."""

    trajectory_ref: str
    score: float | None = None


class HiveTaskCreated(Kind, frozen=True, kw_only=True):
    """A task for several agents began."""

    hive_task_id: str
    objective: str
    agent_count: int


class HiveArtifactShared(Kind, frozen=True, kw_only=True):
    """An agent shared a result."""

    hive_task_id: str
    source_session_id: str
    score: float
    mutation_summary: str


class HiveSelectionMade(Kind, frozen=True, kw_only=True):
    """The best result of a generation was chosen."""

    hive_task_id: str
    winning_session_id: str
    winning_score: float
    generation: int


class HiveGenerationCompleted(Kind, frozen=True, kw_only=True):
    """A generation is over."""

    hive_task_id: str
    generation: int
    best_score: float
    agent_results: Json = None


class HiveTaskCompleted(Kind, frozen=True, kw_only=True):
    """A task for several agents ended."""

    hive_task_id: str
    total_generations: int
    total_trials: int
    final_score: float


class KernelVmCreated(Kind, frozen=True, kw_only=True):
    """A virtual machine was made."""

    vm_id: str
    backend: str
    spec_hash: str
    session_id: str
    agent_id: str


class KernelVmForked(Kind, frozen=True, kw_only=True):
    """A virtual machine was forked."""

    parent_vm_id: str
    child_vm_id: str
    snapshot_id: str


class KernelVmSnapshotted(Kind, frozen=True, kw_only=True):
    """A virtual machine was snapshotted."""

    vm_id: str
    snapshot_id: str
    name: str
    size_bytes: int


class KernelVmHibernated(Kind, frozen=True, kw_only=True):
    """A virtual machine sleeps."""

    vm_id: str


class KernelVmResumed(Kind, frozen=True, kw_only=True):
    """A virtual machine woke."""

    vm_id: str


class KernelVmDestroyed(Kind, frozen=True, kw_only=True):
    """A virtual machine is gone."""

    vm_id: str
    reason: str


class KernelDispatchStarted(Kind, frozen=True, kw_only=True):
    """A tool was sent to a virtual machine."""

    vm_id: str
    call_id: str
    tool_name: str


class KernelDispatchCompleted(Kind, frozen=True, kw_only=True):
    """A virtual machine finished a tool."""

    call_id: str
    usage: Json
    exit_code: int


class KernelDispatchDenied(Kind, frozen=True, kw_only=True):
    """A gate kept a tool from a virtual machine."""

    call_id: str
    gate: str
    reason: str


class KernelForkDenied(Kind, frozen=True, kw_only=True):
    """A gate refused a fork."""

    parent_vm_id: str
    gate: str
    reason: str


class KernelEgressRecorded(Kind, frozen=True, kw_only=True):
    """Bytes left a virtual machine."""

    vm_id: str
    bytes: int
    dst: str


class KernelPolicyViolated(Kind, frozen=True, kw_only=True):
    """A virtual machine broke a rule."""

    vm_id: str
    capability: str
    action: str


class KernelUsageRecorded(Kind, frozen=True, kw_only=True):
    """Resources were used."""

    session_id: str
    wallet: Json
    usage: Json
