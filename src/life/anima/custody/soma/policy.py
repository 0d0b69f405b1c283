"""Who may use which agent's keys for what: somad's policy file (AN-SOMA-2, AN-SOMA-3, AN-WAL-3).

    group = "life-runtime"                # who may connect at all; root and the daemon's own user may, too

    [[allow]]
    user = "alice"                        # or uid = 1001, or did = "did:key:…" for a remote caller
    agents = ["alice"]                    # names; a last character * matches the rest
    operations = ["sign_token", "sign_authorization"]
    statements = ["anima.identity_seal"]  # tokens with a meaning of their own; "*" for all
    max_per_minute = 600
    max_payment_micro = 500000

    [[admin]]
    user = "root"
    operations = ["provision", "disable", "enable", "list"]

    [agents.alice]                        # what the wallet may pay with; without it nothing
    assets = ["eip155:84532/0x036CbD53842c5426634e7929541eC2318f3dCF7e"]
    session_window_s = 86400
    [[agents.alice.transactions]]
    chain_id = 84532
    to = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
    max_value_wei = 0
    max_fee_wei = 10000000000000000

What no rule allows is refused, to root as to everybody. The file is read again when it changes, so a permission that is taken
out counts from the next request on; a file that can't be read or believed allows nothing.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec

from life.anima.custody.soma.protocol import AdminOperation, OracleOperation
from life.anima.custody.wallet_rules import MAX_VALIDITY_S, parse_network
from life.anima.errors import CustodyInputError, InsecureFileError, PolicyDeniedError
from life.crypto.address import format_address, parse_address
from life.crypto.did import resolve_did
from life.crypto.errors import CryptoError

DEFAULT_STATEMENTS: Final = (
    "anima.identity_seal",
    "anima.kya.challenge",
    "anima.identity_document",
    "anima.custody_migration",
)
"""Tokens of the identity that an agent needs in daily life. Proofs of rotations, revocations, attestations and capabilities
are not among them: whoever may sign those can take the identity away."""
MAX_POLICY_BYTES: Final = 1 << 20
_AGENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NaturalInt = Annotated[int, msgspec.Meta(ge=0)]


class Principal(NamedTuple):
    """Who asks, as the kernel or a proof says: a user of this machine, or a remote key."""

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    did: str | None = None
    operations: frozenset[str] | None = None
    """What the principal's own permit covers, when it has one; the policy must allow it as well."""

    def __str__(self) -> str:
        return f"user {self.uid}" if self.did is None else self.did


class AllowRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One caller, some agents, some operations."""

    agents: tuple[str, ...]
    operations: tuple[OracleOperation, ...]
    user: str | None = None
    uid: int | None = None
    did: str | None = None
    statements: tuple[str, ...] = DEFAULT_STATEMENTS
    max_per_minute: PositiveInt = 600
    max_payment_micro: NaturalInt | None = None

    def covers(self, agent: str) -> bool:
        """Whether the rule is about this agent."""
        return any(
            agent == name or (name.endswith("*") and agent.startswith(name.removesuffix("*"))) for name in self.agents
        )

    def allows_statement(self, name: str | None) -> bool:
        """Whether a token with this meaning may be signed; None for an ordinary one."""
        return name is None or "*" in self.statements or name in self.statements


class AdminRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may administer."""

    operations: tuple[AdminOperation, ...]
    user: str | None = None
    uid: int | None = None


class TransactionRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account or contract that transactions may go to, and the most that one may cost."""

    chain_id: PositiveInt
    to: str
    max_value_wei: NaturalInt = 0
    max_fee_wei: NaturalInt


class AgentRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an agent's wallet may pay with.

    `assets` are tokens of which one atomic unit is one micro-credit (dollar tokens with six decimals), as
    `<CAIP-2 network>/<contract>`.
    """

    assets: tuple[str, ...] = ()
    transactions: tuple[TransactionRule, ...] = ()
    require_reservation: bool = True
    session_window_s: PositiveInt = 86_400
    """The oracle knows no sessions: the soul's limit per session holds in any window of this length."""
    max_validity_s: PositiveInt = MAX_VALIDITY_S


class PolicyDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    group: str
    allow: tuple[AllowRule, ...] = ()
    admin: tuple[AdminRule, ...] = ()
    agents: dict[str, AgentRule] = {}
    revoked_permits: tuple[str, ...] = ()
    """Ids (`jti`) of remote permits that were taken back."""


class SomaPolicy:
    """A policy that makes sense on this machine: its users and its group exist."""

    def __init__(self, document: PolicyDocument) -> None:
        """CustodyInputError for what can't be meant."""
        self.group_id = _group(document.group)
        self.revoked_permits = frozenset(document.revoked_permits)
        self._allow: dict[int | str, list[tuple[int, AllowRule]]] = {}
        for number, rule in enumerate(document.allow):
            for name in rule.agents:
                if name != "*":
                    check_agent_name(name.removesuffix("*"))
            self._allow.setdefault(_principal_key(rule.user, rule.uid, rule.did), []).append((number, rule))
        self._admin: dict[int | str, set[str]] = {}
        for admin in document.admin:
            self._admin.setdefault(_principal_key(admin.user, admin.uid, None), set()).update(admin.operations)
        self._agents = {check_agent_name(name): _checked(rule) for name, rule in document.agents.items()}

    def may_connect(self, uid: int, groups: frozenset[int]) -> bool:
        """Whether a process of this user and these groups may talk to the daemon at all."""
        return uid in (0, os.geteuid()) or self.group_id in groups

    def rules_for(self, principal: Principal, agent: str) -> list[tuple[int, AllowRule]]:
        """The rules that are about this caller and agent, with their numbers."""
        key = principal.uid if principal.did is None else principal.did
        return [] if key is None else [item for item in self._allow.get(key, ()) if item[1].covers(agent)]

    def rule_for(self, principal: Principal, agent: str, operation: OracleOperation) -> tuple[int, AllowRule]:
        """The first rule that allows this; PolicyDeniedError when there is none."""
        if principal.operations is None or operation in principal.operations:
            for number, rule in self.rules_for(principal, agent):
                if operation in rule.operations:
                    return number, rule
        raise PolicyDeniedError(
            f"The oracle's policy does not let {principal} use {operation} of agent {agent}.",
            next_step="Ask whoever administers somad for a rule [[allow]] in its policy file.",
        )

    def operations_for(self, principal: Principal, agent: str) -> frozenset[OracleOperation]:
        """Everything this caller may have signed for this agent."""
        allowed = {name for _, rule in self.rules_for(principal, agent) for name in rule.operations}
        return frozenset(name for name in allowed if principal.operations is None or name in principal.operations)

    def check_admin(self, principal: Principal, operation: AdminOperation) -> None:
        """PolicyDeniedError unless a rule [[admin]] allows it. Remote callers never administer."""
        if principal.uid is None or principal.did is not None or operation not in self._admin.get(principal.uid, ()):
            raise PolicyDeniedError(f"The oracle's policy does not let {principal} use {operation}.")

    def agent(self, name: str) -> AgentRule:
        """What the agent's wallet may pay with."""
        return self._agents.get(name, _NOTHING)


_NOTHING: Final = AgentRule()


class PolicyFile:
    """The policy in a file, read again whenever the file is another one."""

    def __init__(self, path: Path) -> None:
        """Reads it at once: the errors of `current`."""
        self.path = path
        self._seen: tuple[int, ...] = ()
        self._policy: SomaPolicy | None = None
        self.current()

    def current(self) -> SomaPolicy:
        """The policy in force. InsecureFileError when others could have written the file, CustodyInputError when it can't
        be meant; both mean that nothing is allowed."""
        try:
            status = self.path.stat(follow_symlinks=False)
        except OSError as error:
            self._policy = None
            raise CustodyInputError(f"The policy {self.path} can't be read: {error.strerror}.") from None
        seen = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_mode, status.st_uid)
        if self._policy is None or seen != self._seen:
            self._policy, self._seen = None, seen
            self._policy = _read(self.path)
        return self._policy


def _read(path: Path) -> SomaPolicy:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise CustodyInputError(f"The policy {path} can't be read: {error.strerror}.") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise InsecureFileError(
                f"The policy {path} could be changed by others than root and the daemon's user.",
                next_step=f"chown root {path} && chmod 644 {path}",
            )
        content = file.read(MAX_POLICY_BYTES + 1)
    try:
        if len(content) > MAX_POLICY_BYTES:
            raise CustodyInputError(f"The policy {path} is too large.")
        return SomaPolicy(msgspec.convert(tomllib.loads(content.decode()), PolicyDocument))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise CustodyInputError(f"The policy {path} can't be understood: {error}.") from None
    except CustodyInputError as error:
        raise CustodyInputError(f"The policy {path} can't be meant: {error.message}") from None


def check_agent_name(name: str) -> str:
    """`name`; CustodyInputError unless it is 1 to 64 letters, digits, `_` and `-`, beginning with a letter or digit."""
    if _AGENT.fullmatch(name) is None:
        raise CustodyInputError("An agent's name is 1 to 64 letters, digits, '_' and '-'.")
    return name


def asset_name(network: str, asset: str) -> str:
    """How the policy names a token. CustodyInputError or CryptoError when it can't be one."""
    parse_network(network)
    return f"{network}/{format_address(parse_address(asset))}"


def _checked(rule: AgentRule) -> AgentRule:
    try:
        assets = tuple(asset_name(*text.split("/", 1)) if "/" in text else asset_name(text, "") for text in rule.assets)
        transactions = tuple(
            msgspec.structs.replace(item, to=format_address(parse_address(item.to))) for item in rule.transactions
        )
    except CryptoError as error:
        raise CustodyInputError(f"an asset or a recipient is malformed ({error}).") from None
    return msgspec.structs.replace(rule, assets=assets, transactions=transactions)


def _principal_key(user: str | None, uid: int | None, did: str | None) -> int | str:
    """The user id, or the DID; CustodyInputError unless exactly one is named and exists."""
    if sum(value is not None for value in (user, uid, did)) != 1:
        raise CustodyInputError("a rule names exactly one of user, uid and did.")
    if did is not None:
        try:
            return resolve_did(did).did
        except CryptoError:
            raise CustodyInputError("a rule's did is malformed.") from None
    if uid is not None:
        return uid
    try:
        return pwd.getpwnam(user or "").pw_uid
    except KeyError:
        raise CustodyInputError(f"there is no user {user} on this machine.") from None


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise CustodyInputError(f"there is no group {name} on this machine.") from None
