"""What comes in from people and from the world."""

from __future__ import annotations

from life.aios.events.kind import ImageReference, Kind
from life.aios.json import Json


class UserMessage(Kind, frozen=True, kw_only=True):
    """A person (or the program in their place) says something to the agent."""

    content: str
    images: tuple[ImageReference, ...] = ()
    """Images beside the words; their bytes are blobs."""


class ExternalSignal(Kind, frozen=True, kw_only=True):
    """Something outside happened that the agent should know."""

    signal_type: str
    data: Json = None


class IntentProposed(Kind, frozen=True, kw_only=True):
    """An intent was put forward."""

    intent_id: str
    kind: str
    risk: str | None = None


class IntentEvaluated(Kind, frozen=True, kw_only=True):
    """The policy's word on an intent."""

    intent_id: str
    allowed: bool
    requires_approval: bool
    reasons: tuple[str, ...] = ()


class IntentApproved(Kind, frozen=True, kw_only=True):
    """Somebody approved an intent."""

    intent_id: str
    actor: str | None = None


class IntentRejected(Kind, frozen=True, kw_only=True):
    """Somebody rejected an intent."""

    intent_id: str
    reasons: tuple[str, ...] = ()
