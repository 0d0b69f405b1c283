"""Models and their keys over HTTP, for the operator and the person who is logged in; agents and users are refused.

    GET    /workspace/models                  what can be asked, its price, whether anything is missing
    GET    /workspace/keys                    how the keys stand
    PUT    /workspace/keys/{provider}         {"key": "…", "test": true, "model": ""}
    POST   /workspace/keys/{provider}/test    {"model": ""}
    DELETE /workspace/keys/{provider}

No answer and no error holds a key or a part of one; what does not fit a body is not repeated either, for it may be one.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ports.http import Operation
from life.host.model_keys import KeyLine, ModelKeys, Source, check_key, check_provider
from life.host.model_list import ModelLine, list_models
from life.host.model_test_call import KeyTester
from life.host.settings import Settings

_MOST_BYTES: Final = 8_192

Body = TypeVar("Body", bound=msgspec.Struct)


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """Every model that can be named, and what a session without one uses."""

    models: list[ModelLine]
    default: str


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """How the keys stand. `why_not` says why none can be stored here."""

    keys: list[KeyLine]
    can_store: bool
    why_not: str


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PUT /workspace/keys/{provider}."""

    key: str
    test: bool = True
    model: str = ""
    """What is asked; without, the provider's cheapest known model."""

    def __repr__(self) -> str:
        return "NewKey(…)"


class KeyStored(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is in place."""

    provider: str
    source: Source
    set_at: str | None
    tested: bool
    model: str
    took_ms: int
    shadowed: bool
    """Whether a variable of the environment goes before it."""


class KeyTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /workspace/keys/{provider}/test."""

    model: str = ""


class KeyTested(msgspec.Struct, frozen=True, kw_only=True):
    """A key that its vendor took."""

    provider: str
    model: str
    took_ms: int


class KeyForgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What is left without the stored key."""

    provider: str
    source: Source
    set_at: str | None


class ModelApi:
    """The handlers."""

    def __init__(self, settings: Settings, keys: ModelKeys, tester: KeyTester) -> None:
        self._settings = settings
        self._keys = keys
        self._tester = tester

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        key = "/workspace/keys/{provider}"
        failures = (422, 429, 502, 503)
        return [
            Operation(
                "GET", "/workspace/models", "Models, their prices, and what is missing", self.models, None, ModelList
            ),
            Operation("GET", "/workspace/keys", "How the keys of model providers stand", self.keys, None, KeyList),
            Operation(
                "PUT",
                key,
                "Try a key with the smallest possible call, and seal it",
                self.put,
                NewKey,
                KeyStored,
                errors=(400, 404, 409, *failures),
            ),
            Operation(
                "POST",
                f"{key}/test",
                "Try the key in force",
                self.test,
                KeyTest,
                KeyTested,
                errors=(400, 404, 409, *failures),
            ),
            Operation("DELETE", key, "Forget a stored key", self.forget, None, KeyForgotten, errors=(404, 409)),
        ]

    async def models(self, _: Request) -> Response:
        """GET /workspace/models"""
        found = await list_models(self._settings, self._keys)
        return _json(ModelList(models=found, default=self._settings.model.provider))

    async def keys(self, _: Request) -> Response:
        """GET /workspace/keys"""
        why_not = self._keys.obstacle()
        return _json(KeyList(keys=self._keys.lines(), can_store=not why_not, why_not=why_not))

    async def put(self, request: Request) -> Response:
        """PUT /workspace/keys/{provider}"""
        provider = str(request.path_params["provider"])
        check_provider(provider)
        return _json(await self.store(provider, await _read(request, NewKey)))

    async def store(self, provider: str, new: NewKey) -> KeyStored:
        """Try a key, unless told otherwise, and seal it."""
        check_key(new.key)
        why_not = self._keys.obstacle()
        tested = None
        if new.test and not why_not:
            tested = await self._tester.test(provider, key=new.key, model=new.model)
        line = self._keys.store(provider, new.key)
        return KeyStored(
            provider=provider,
            source=line.source,
            set_at=line.set_at,
            tested=tested is not None,
            model="" if tested is None else tested.model,
            took_ms=0 if tested is None else tested.took_ms,
            shadowed=line.source == "environment",
        )

    async def test(self, request: Request) -> Response:
        """POST /workspace/keys/{provider}/test"""
        provider = str(request.path_params["provider"])
        check_provider(provider)
        tested = await self._tester.test(provider, model=(await _read(request, KeyTest)).model)
        return _json(KeyTested(provider=provider, model=tested.model, took_ms=tested.took_ms))

    async def forget(self, request: Request) -> Response:
        """DELETE /workspace/keys/{provider}"""
        line = self._keys.forget(str(request.path_params["provider"]))
        return _json(KeyForgotten(provider=line.provider, source=line.source, set_at=line.set_at))


async def _read(request: Request, kind: type[Body]) -> Body:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise InvalidInputError(f"The body is larger than {_MOST_BYTES} bytes.")
    try:
        return msgspec.json.decode(bytes(raw) or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        names = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise InvalidInputError(f"The body is a JSON object with {names}; it is not repeated here.") from None


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), 200, {"cache-control": "no-store"}, "application/json")
