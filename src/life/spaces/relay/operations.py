"""What can be asked of a node, with the right that each needs. What is not in this table can't be asked for.

`changes`: carried out once per command id, also over a crash of the node, and written into its journal. `repeats`: doing it again after a
crash does no harm, because the runtime itself does it once (an approval is decided once, a run begins once per key, a paused run is
paused); of the others nobody can say after a crash whether they happened, and they are not done again.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import check_path_id
from life.aios.json import Json, JsonObject
from life.aios.state import SteeringMode
from life.spaces.relay.events import EVERY_SESSION, Right

_BRANCH: Final = "main"
_SEGMENT: Final = re.compile(r"[\x20-\x7e]{1,255}")
MAX_PAGE: Final = 1000

_Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]
_Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of an operation."""


class Nothing(Arguments, frozen=True, kw_only=True):
    """No arguments."""


class OnBranch(Arguments, frozen=True, kw_only=True):
    """A branch of the session."""

    branch: str = _BRANCH


class OpenSession(Arguments, frozen=True, kw_only=True):
    """A new session's name."""

    name: str = ""


class Page(OnBranch, frozen=True, kw_only=True):
    """Events after a sequence."""

    after: _Sequence = 0
    limit: _Limit = MAX_PAGE


class Watch(OnBranch, frozen=True, kw_only=True):
    """Events after a sequence, then live."""

    after: _Sequence = 0


class Unwatch(Arguments, frozen=True, kw_only=True):
    """The command that began it."""

    watch: str


class QueueNamed(OnBranch, frozen=True, kw_only=True):
    """A message that waits."""

    queue_id: str


class RunNamed(OnBranch, frozen=True, kw_only=True):
    """A run."""

    run_id: str


class FileNamed(OnBranch, frozen=True, kw_only=True):
    """A file of the workspace."""

    path: str


class Start(OnBranch, frozen=True, kw_only=True):
    """An objective. The key of the run is the command's id unless another one is given."""

    objective: str
    limits: JsonObject | None = None
    key: str | None = None


class Say(OnBranch, frozen=True, kw_only=True):
    """A message."""

    message: str
    steering: SteeringMode = "collect"


class Decide(OnBranch, frozen=True, kw_only=True):
    """A decision about a call that waits."""

    approval_id: str
    approved: bool
    reason: str | None = None
    arguments: Json | msgspec.UnsetType = msgspec.UNSET
    scope: str = "once"


class Doubt(OnBranch, frozen=True, kw_only=True):
    """What became of a call in doubt."""

    call_id: str
    decision: str
    note: str = ""


class RuleNamed(OnBranch, frozen=True, kw_only=True):
    """A rule of the session."""

    rule_id: str


class Allow(Arguments, frozen=True, kw_only=True):
    """A grant."""

    did: str
    session: str = EVERY_SESSION
    rights: tuple[Right, ...]
    name: str = ""


class Revoke(Arguments, frozen=True, kw_only=True):
    """A grant to take back; without a session all of theirs."""

    did: str
    session: str = ""


class Operation(NamedTuple):
    """One thing that can be asked for."""

    right: Right
    arguments: type[Arguments]
    changes: bool = False
    repeats: bool = True
    any_session: bool = False
    """It is about the node, not about one session."""


OPERATIONS: Final[dict[str, Operation]] = {
    "hello": Operation("watch", Nothing, any_session=True),
    "sessions": Operation("watch", Nothing, any_session=True),
    "open_session": Operation("steer", OpenSession, changes=True),
    "view": Operation("watch", OnBranch),
    "events": Operation("watch", Page),
    "watch": Operation("watch", Watch),
    "unwatch": Operation("watch", Unwatch),
    "report": Operation("watch", RunNamed),
    "branches": Operation("watch", Nothing),
    "files": Operation("watch", OnBranch),
    "file": Operation("watch", FileNamed),
    "start": Operation("steer", Start, changes=True),
    "send": Operation("steer", Say, changes=True, repeats=False),
    "withdraw": Operation("steer", QueueNamed, changes=True),
    "cancel": Operation("steer", OnBranch, changes=True),
    "resume": Operation("steer", OnBranch, changes=True),
    "pause": Operation("steer", OnBranch, changes=True),
    "continue": Operation("steer", OnBranch, changes=True),
    "decide": Operation("approve", Decide, changes=True),
    "doubt": Operation("approve", Doubt, changes=True),
    "revoke_rule": Operation("approve", RuleNamed, changes=True),
    "grants": Operation("own", Nothing, any_session=True),
    "allow": Operation("own", Allow, changes=True, any_session=True),
    "revoke": Operation("own", Revoke, changes=True, any_session=True),
}
_NAMES: Final = ("run_id", "approval_id", "call_id", "rule_id", "queue_id")
_decoders: Final = {name: msgspec.json.Decoder(one.arguments) for name, one in OPERATIONS.items()}


def read_arguments(name: str, session: str, raw: bytes) -> Arguments:
    """The arguments of an operation; InvalidInputError when they don't fit, or name something that could be read as a path."""
    operation = OPERATIONS.get(name)
    if operation is None:
        raise InvalidInputError("There is no such operation.")
    if not operation.any_session:
        check_path_id(session)
    elif session:
        raise InvalidInputError("This operation is about the node, not about one session.")
    try:
        arguments = _decoders[name].decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidInputError(f"The arguments do not fit: {error}.") from None
    for field in _NAMES:
        value = getattr(arguments, field, None)
        if value is not None and (_SEGMENT.fullmatch(value) is None or value in (".", "..")):
            raise InvalidInputError(f"The {field} can't be right.")
    if isinstance(arguments, FileNamed):
        check_file_path(arguments.path)
    return arguments


def check_file_path(path: str) -> str:
    """`path`, when it is a relative one without `.` and `..`: it becomes a part of an address, and must not lead elsewhere (R10)."""
    parts = path.split("/")
    if not 0 < len(path) <= 1024 or any(part in ("", ".", "..") for part in parts) or "\\" in path or "\x00" in path:
        raise InvalidInputError("A file is named by its path within the workspace.")
    return path
