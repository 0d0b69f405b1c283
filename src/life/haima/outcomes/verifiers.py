"""Verifiers: what finds out whether a criterion holds (haima.md §1.10).

A verifier answers True or False with a reason, or nothing when it could not find out; then the criterion stays open and is
asked again. People's criteria (`manual_approval`, `custom`) have no verifier: they are judged through the desk, or by a
signed approval (`read_approval`).

What a verifier needs of the outside is handed to it: a runner of commands, a poster that guards against requests to our own
network. So a contract can name a URL or a scope, and never what is run or who is reached.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hmac import digest as hmac_digest
from typing import Final, NamedTuple, Protocol

import jsonschema
import msgspec
from jsonschema.protocols import Validator

from life.aios.errors import InvalidInputError, LifeError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.crypto import jws
from life.crypto.did import Curve
from life.crypto.errors import CryptoError
from life.haima.events.tasks import Criterion
from life.haima.outcomes.room import Task

APPROVAL_TYPE: Final = "life-approval+jwt"
MAX_APPROVAL_AGE_S: Final = 3600
MAX_CALLBACK_BYTES: Final = 64 * 1024


class Found(NamedTuple):
    """A verifier's word."""

    passed: bool
    details: str = ""


class Verifier(Protocol):
    """Finds out about one type of criterion."""

    @property
    def name(self) -> str:
        """What stands in the result."""
        ...

    async def check(self, task: Task, criterion: Criterion) -> Found | None:
        """Whether the criterion holds for the delivered task; None when it can't be found out now."""
        ...


class CommandRun(NamedTuple):
    """What a command came to."""

    exit_code: int
    output: str


CommandRunner = Callable[[Task, str], Awaitable[CommandRun | None]]
"""(task, scope) → the run of the command that the operator configured for this scope, in the task's workspace; None when
nothing is configured for it or it could not be started."""


class TestsPassed:
    """`tests_passed`: runs the tests that the operator configured for the scope; exit code 0 passes."""

    name = "tests_passed"
    __test__ = False  # not a test of ours, whatever its name

    def __init__(self, run: CommandRunner) -> None:
        self._run = run

    async def check(self, task: Task, criterion: Criterion) -> Found | None:
        """See Verifier."""
        ran = await self._run(task, criterion.scope or "")
        if ran is None:
            return None
        tail = ran.output.strip().splitlines()[-1:] or [""]
        return Found(ran.exit_code == 0, f"exit code {ran.exit_code}: {tail[0][:500]}")


class DataValidated:
    """`data_validated`: the delivered result is a JSON document that fits the schema registered under the rule's id."""

    name = "data_validated"

    def __init__(self, schemas: Mapping[str, JsonObject]) -> None:
        """InvalidInputError for something that is no JSON Schema."""
        self._validators: dict[str, Validator] = {}
        for rule_id, schema in schemas.items():
            kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
            try:
                kind.check_schema(schema)
            except jsonschema.SchemaError as error:
                raise InvalidInputError(f"The schema {rule_id!r} is none: {error.message}") from None
            self._validators[rule_id] = kind(schema)

    async def check(self, task: Task, criterion: Criterion) -> Found | None:
        """See Verifier. Without such a schema nobody can say; a result that is no JSON does not fit."""
        validator = self._validators.get(criterion.rule_id or "")
        if validator is None:
            return None
        try:
            document = msgspec.json.decode(task.result)
        except (msgspec.DecodeError, RecursionError):
            return Found(False, "the result is no JSON document")
        error = jsonschema.exceptions.best_match(validator.iter_errors(document))
        return (
            Found(True, "it fits the schema")
            if error is None
            else Found(False, f"{error.json_path}: {error.message}"[:1000])
        )


Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""(url, headers, body) → the status. It refuses addresses of our own network, follows no redirect, and has a time limit;
LifeError when nothing was reached."""


class WebhookConfirmed:
    """`webhook_confirmed`: asks the URL of the contract; any 2xx passes.

    The request carries `life-signature: t=<unix seconds>,v1=<hex HMAC-SHA-256 of "t.body">` under a secret that the operator
    shares with the receiver, so that it can tell our question from anybody's.
    """

    name = "webhook_confirmed"

    def __init__(self, post: Post, *, secret: bytes, clock: Clock) -> None:
        """InvalidInputError for a secret of less than 32 bytes."""
        if len(secret) < 32:
            raise InvalidInputError("The webhook secret must have at least 32 bytes.")
        self._post = post
        self._secret = secret
        self._clock = clock

    async def check(self, task: Task, criterion: Criterion) -> Found | None:
        """See Verifier."""
        body = msgspec.json.encode(
            {
                "action": "verify",
                "task_id": task.task_id,
                "contract_id": task.contract_id,
                "result_digest": task.result_digest,
            }
        )
        now_s = str(self._clock.now_us() // 1_000_000)
        mark = hmac_digest(self._secret, now_s.encode() + b"." + body, "sha256").hex()
        headers = {"content-type": "application/json", "life-signature": f"t={now_s},v1={mark}"}
        try:
            status = await self._post(criterion.url or "", headers, body)
        except LifeError as error:
            if not error.retryable:
                return Found(False, error.message[:500])
            return None
        if status in (429, 502, 503, 504):
            return None
        return Found(200 <= status < 300, f"it answered {status}")


class SilentApproval:
    """`manual_approval` with a time for review: who said nothing by its end agrees, so that nobody's pay waits for ever."""

    name = "review_over"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def check(self, task: Task, criterion: Criterion) -> Found | None:
        """See Verifier. None while there is time, and for a criterion without such a time."""
        if not criterion.review_seconds or task.submitted_at_us is None:
            return None
        if self._clock.now_us() < task.submitted_at_us + criterion.review_seconds * 1_000_000:
            return None
        return Found(True, "nobody objected in time")


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """What an approver signs: this result of this task, this criterion, yes or no."""

    task_id: str
    criterion: int
    passed: bool
    result_digest: str
    iat: int
    details: str = ""


def read_approval(token: str, task: Task, *, now_s: int) -> tuple[str, Approval]:
    """The DID that signed an approval, and what it says; InvalidInputError for one that is not properly signed, too old, or
    about something else. Whether this DID may approve is the contract's business (`OutcomeDesk.judge`)."""
    try:
        verified = jws.verify(token, typ=APPROVAL_TYPE, curves=(Curve.P256, Curve.SECP256K1, Curve.ED25519))
        approval = msgspec.convert(verified.claims, Approval)
    except (CryptoError, msgspec.ValidationError) as error:
        raise InvalidInputError(f"The approval can't be accepted: {error}.") from None
    if not now_s - MAX_APPROVAL_AGE_S <= approval.iat <= now_s + 60:
        raise InvalidInputError("The approval is too old, or from the future.")
    if approval.task_id != task.task_id or approval.result_digest != task.result_digest:
        raise InvalidInputError("The approval is about another task or another result.")
    return verified.signer.did, approval
