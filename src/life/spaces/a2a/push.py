"""Push notifications: a task's updates, posted to addresses that its client named.

Each update is a StreamResponse with the whole task, so one that was missed is made good by the next. Every configuration has its own
order; an update that is not taken (2xx is) is tried again with growing waits for a day, then given up, and 410 Gone ends it at once.
The client's token comes back in X-A2A-Notification-Token; its credentials, when it gave any, as Authorization. Besides, every post
carries a token of ours over the body (A2A-Signature: a JWS, ES256, by the agent's DID; claims aud, iat, exp, jti, body_sha256), so that
a receiver can tell us from others.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections.abc import Iterable
from typing import Final

import msgspec

from life.aios.errors import LifeError
from life.aios.ids import check_id, derived_event_id
from life.aios.json import Json
from life.aios.ports.clock import Clock
from life.spaces.a2a.errors import InvalidParamsError, TaskNotFoundError
from life.spaces.a2a.events import PushDeleted, Pushed, PushSet
from life.spaces.a2a.ledger import TaskLedger
from life.spaces.a2a.ports import Poster, TokenSigner, Vault
from life.spaces.a2a.state import PushState, TaskRecord
from life.spaces.a2a.wire import MEDIA_TYPE, AuthenticationInfo, PushConfig, StreamResponse

TOKEN_HEADER: Final = "x-a2a-notification-token"  # noqa: S105 (a header's name)
SIGNATURE_HEADER: Final = "a2a-signature"
SIGNATURE_TYPE: Final = "a2a-notification+jwt"
RETRY_S: Final = (5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200)
"""Waits between attempts: a day in all."""
SIGNED_FOR_S: Final = 300
MAX_CONFIGS: Final = 16
"""Per task."""
MAX_SECRET_CHARACTERS: Final = 4096
_log: Final = logging.getLogger("life.spaces.a2a")


class _Secrets(msgspec.Struct, frozen=True, omit_defaults=True):
    token: str = ""
    scheme: str = ""
    credentials: str = ""

    def __repr__(self) -> str:
        return "_Secrets(…)"


class PushNotices:
    """All configurations and their deliveries."""

    def __init__(self, ledger: TaskLedger, clock: Clock, *, poster: Poster, signer: TokenSigner, vault: Vault) -> None:
        self._ledger = ledger
        self._clock = clock
        self._poster = poster
        self._signer = signer
        self._vault = vault
        self._sending: dict[tuple[str, str], asyncio.Task[None]] = {}

    def start(self) -> None:
        """Post what was not posted before."""
        for task in self._ledger.tasks.all.values():
            self.changed(task)

    async def aclose(self) -> None:
        """Stop. What was not posted is posted after the next start."""
        sending = list(self._sending.values())
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    def changed(self, task: TaskRecord) -> None:
        """There may be something to post about a task."""
        for push in task.pushes:
            key = (task.task_id, push.config_id)
            if push.revision < task.revision and key not in self._sending:
                sending = asyncio.create_task(self._send(*key))
                self._sending[key] = sending
                sending.add_done_callback(functools.partial(self._done, key))

    # ---- what clients do

    async def check(self, config: PushConfig) -> None:
        """A LifeError with status 400 for a configuration that can't be right, or an address that is not posted to."""
        if config.id:
            check_id(config.id, what="configuration id")
        secrets = _secrets_of(config)
        if max(map(len, (secrets.token, secrets.scheme, secrets.credentials))) > MAX_SECRET_CHARACTERS:
            raise InvalidParamsError(f"A token has at most {MAX_SECRET_CHARACTERS} characters.")
        if not all(map(_is_header_text, (secrets.token, secrets.scheme, secrets.credentials))):
            raise InvalidParamsError("A token holds printable ASCII characters.")
        await self._poster.check(config.url)

    async def create(self, task: TaskRecord, config: PushConfig, *, from_start: bool = False) -> PushConfig:
        """A configuration, new or in the place of the one of its id. `from_start`: what has happened until now is posted, too."""
        await self.check(config)
        config_id = config.id or derived_event_id("spaces.a2a_push", task.task_id, config.url)
        now = self._ledger.tasks.get(task.task_id) or task
        if len(now.pushes) >= MAX_CONFIGS and _find(now.pushes, config_id) is None:
            raise InvalidParamsError(f"A task has at most {MAX_CONFIGS} configurations.")
        sealed = self._vault.seal(msgspec.json.encode(_secrets_of(config)))
        revision = 0 if from_start else now.revision
        changed = await self._ledger.write(
            PushSet(task_id=task.task_id, config_id=config_id, url=config.url, secrets=sealed, revision=revision)
        )
        if changed is not None:
            self.changed(changed)
        return self.get(task.task_id, config_id)

    def get(self, task_id: str, config_id: str) -> PushConfig:
        """One configuration; TaskNotFoundError when there is none of this id."""
        task = self._ledger.tasks.get(task_id)
        for push in () if task is None else task.pushes:
            if push.config_id == config_id:
                return self._told(task_id, push)
        raise TaskNotFoundError(f"{task_id}/{config_id}")

    def list(self, task: TaskRecord) -> tuple[PushConfig, ...]:
        """All of a task."""
        return tuple(self._told(task.task_id, push) for push in task.pushes)

    async def delete(self, task_id: str, config_id: str) -> None:
        """No more. Deleting twice is fine."""
        task = self._ledger.tasks.get(task_id)
        if task is not None and any(push.config_id == config_id for push in task.pushes):
            await self._ledger.write(PushDeleted(task_id=task_id, config_id=config_id))
        sending = self._sending.get((task_id, config_id))
        if sending is not None:
            sending.cancel()

    def _told(self, task_id: str, push: PushState) -> PushConfig:
        secrets = self._secrets(push)
        authentication = AuthenticationInfo(scheme=secrets.scheme)  # its credentials are not shown again
        return PushConfig(
            id=push.config_id,
            task_id=task_id,
            url=push.url,
            token=secrets.token,
            authentication=authentication if secrets.scheme else None,
        )

    def _secrets(self, push: PushState) -> _Secrets:
        return msgspec.json.decode(self._vault.open(push.secrets), type=_Secrets)

    # ---- posting

    def _done(self, key: tuple[str, str], sending: asyncio.Task[None]) -> None:
        self._sending.pop(key, None)
        if sending.cancelled():
            return
        if sending.exception() is not None:
            _log.error("Notifications of task %s stand still", key[0], exc_info=sending.exception())
            return
        task = self._ledger.tasks.get(key[0])
        if task is not None:
            self.changed(task)

    async def _send(self, task_id: str, config_id: str) -> None:
        """Post the newest update until it is taken or given up."""
        attempt = 0
        while True:
            task = self._ledger.tasks.get(task_id)
            push = _find(() if task is None else task.pushes, config_id)
            if task is None or push is None or push.revision >= task.revision:
                return
            try:
                status, error = await self._post(task, push)
            except LifeError as failed:
                status, error = 0, failed.message
            if 200 <= status < 300 or status == 410 or attempt >= len(RETRY_S):
                if not 200 <= status < 300:
                    _log.warning("A notification of task %s was given up: %s", task_id, error or status)
                await self._ledger.write(
                    Pushed(
                        task_id=task_id,
                        config_id=config_id,
                        revision=task.revision,
                        status=status,
                        error=error[:200],
                    )
                )
                if status == 410:
                    await self._ledger.write(PushDeleted(task_id=task_id, config_id=config_id))
                return
            await self._clock.sleep_us(RETRY_S[attempt] * 1_000_000)
            attempt += 1

    async def _post(self, task: TaskRecord, push: PushState) -> tuple[int, str]:
        body = msgspec.json.encode(StreamResponse(task=self._ledger.told(task)))
        secrets = self._secrets(push)
        now_s = self._clock.now_us() // 1_000_000
        claims: dict[str, Json] = {
            "aud": push.url,
            "iat": now_s,
            "exp": now_s + SIGNED_FOR_S,
            "jti": derived_event_id("spaces.a2a_pushed", task.task_id, push.config_id, str(task.revision)),
            "body_sha256": hashlib.sha256(body).hexdigest(),
        }
        headers = {
            "content-type": MEDIA_TYPE,
            SIGNATURE_HEADER: await self._signer.sign_token(claims, typ=SIGNATURE_TYPE),
        }
        if secrets.token:
            headers[TOKEN_HEADER] = secrets.token
        if secrets.scheme and secrets.credentials:
            headers["authorization"] = f"{secrets.scheme} {secrets.credentials}"
        posted = await self._poster.post(push.url, headers, body)
        return posted.status, posted.error


def _secrets_of(config: PushConfig) -> _Secrets:
    authentication = config.authentication
    if authentication is None:
        return _Secrets(config.token)
    return _Secrets(config.token, authentication.scheme, authentication.credentials)


def _find(pushes: Iterable[PushState], config_id: str) -> PushState | None:
    return next((push for push in pushes if push.config_id == config_id), None)


def _is_header_text(text: str) -> bool:
    return text.isascii() and (text.isprintable() or not text)
