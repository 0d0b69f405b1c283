"""A tool from a typed function, in three lines::

    @tool(read_only=True)
    async def weather(city: Annotated[str, "Name of the city."], days: int = 3) -> dict[str, str]:
        \"\"\"The weather of the next days.\"\"\"
        return {"city": city, "forecast": f"{days} days of sun"}

    registry.register(weather)

Name and description come from the function and its docstring, the schema from its annotations: every type msgspec knows
(structs, Literal, Optional, lists, numbers with `msgspec.Meta` bounds); a text in `Annotated` describes the parameter. A
parameter annotated `ToolContext` gets the call's context and is not part of the schema. A plain function runs on a thread of its
own; one that outlives its time limit can't be stopped and goes on, and the outcome says that its effect is in doubt.

What the function gives is converted to JSON; a `ToolOutcome` passes as it is. Errors meant for the model are ToolError.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import functools
import inspect
import threading
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Generic, ParamSpec, TypeVar, get_args, get_origin, overload

import msgspec

from life.aios.errors import ToolError
from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.errors import SchemaError
from life.praxis.tool import input_schema, read_only_probe

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result", covariant=True)

Capabilities = Callable[..., Sequence[str]]
"""From the function's own parameters to what the call needs."""

_NO_ANNOTATIONS: Final = ToolAnnotations()

CAPABILITY: Final = "tool:call:"
"""What a function's call needs unless it says otherwise: `tool:call:<name>`."""


class FunctionTool(Generic[Parameters, Result]):
    """A function as a tool. Calling it calls the function."""

    __name__: str

    def __init__(
        self,
        function: Callable[Parameters, Result],
        *,
        name: str | None = None,
        description: str | None = None,
        annotations: ToolAnnotations = _NO_ANNOTATIONS,
        category: str = "custom",
        timeout_s: int = 30,
        capabilities: Capabilities | None = None,
    ) -> None:
        """SchemaError when the function can't be a tool; its words say why."""
        self._function = function
        # A function of any signature, called by names that were checked against it.
        self._by_name = typing.cast("Callable[..., object]", function)
        self._is_coroutine = inspect.iscoroutinefunction(function)
        self._capabilities = capabilities
        self._context_parameters, self.arguments = _arguments_of(function)
        text = inspect.cleandoc(description or function.__doc__ or "")
        tool_name = name or function.__name__
        if not text:
            raise SchemaError(f"{tool_name} has no docstring; models need to know what a tool does.")
        try:
            schema = input_schema(self.arguments)
        except TypeError as unfit:
            raise SchemaError(f"{tool_name}: a parameter's type has no JSON form: {unfit}") from None
        self.definition = ToolDefinition(
            name=tool_name,
            description=text,
            input_schema=schema,
            annotations=annotations,
            category=category,
            timeout_s=timeout_s,
        )
        functools.update_wrapper(self, function)

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        """The function itself."""
        return self._function(*args, **kwargs)

    def capabilities(self, arguments: msgspec.Struct, context: ToolContext) -> tuple[str, ...]:
        """What the function's own rule says, or `tool:call:<name>`."""
        if self._capabilities is None:
            return (f"{CAPABILITY}{self.definition.name}",)
        return tuple(self._capabilities(**self._given(arguments, context)))

    async def prepare(self, arguments: msgspec.Struct, context: ToolContext) -> Json:
        """Nothing is known about what a function does."""
        return None

    async def run(self, arguments: msgspec.Struct, context: ToolContext) -> ToolOutcome:
        """The function's result as JSON."""
        call = functools.partial(self._by_name, **self._given(arguments, context))
        given = call() if self._is_coroutine else await _on_own_thread(call, self.definition.name)
        if inspect.isawaitable(given):
            given = await given
        if isinstance(given, ToolOutcome):
            return given
        try:
            output: Json = msgspec.to_builtins(given, str_keys=True)
            msgspec.json.encode(output)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise ToolError(f"{self.definition.name} ran, but gave something that is not JSON.") from None
        return ToolOutcome(status="ok", output=output)

    async def probe(self, arguments: msgspec.Struct, context: ToolContext, prepared: Json) -> Probe:
        """`repeatable` when the function is declared read-only or idempotent, otherwise `unknown`."""
        annotations = self.definition.annotations
        if annotations.read_only:
            return read_only_probe(f"{self.definition.name} changes nothing.")
        if annotations.idempotent:
            return Probe(answer="repeatable", explanation=f"{self.definition.name} is declared idempotent.")
        return Probe(answer="unknown", explanation=f"Whether {self.definition.name} took effect can't be told.")

    def _given(self, arguments: msgspec.Struct, context: ToolContext) -> dict[str, object]:
        given: dict[str, object] = {name: getattr(arguments, name) for name in arguments.__struct_fields__}
        given.update(dict.fromkeys(self._context_parameters, context))
        return given


@overload
def tool(function: Callable[Parameters, Result], /) -> FunctionTool[Parameters, Result]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
    open_world: bool = False,
    requires_confirmation: bool = False,
    category: str = "custom",
    timeout_s: int = 30,
    capabilities: Capabilities | None = None,
) -> Callable[[Callable[Parameters, Result]], FunctionTool[Parameters, Result]]: ...


def tool(
    function: Callable[Parameters, Result] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
    open_world: bool = False,
    requires_confirmation: bool = False,
    category: str = "custom",
    timeout_s: int = 30,
    capabilities: Capabilities | None = None,
) -> FunctionTool[Parameters, Result] | Callable[[Callable[Parameters, Result]], FunctionTool[Parameters, Result]]:
    """Make a function a tool; bare, or with what is to be said about it. SchemaError when it can't be one."""
    annotations = ToolAnnotations(
        read_only=read_only,
        destructive=destructive,
        idempotent=idempotent,
        open_world=open_world,
        requires_confirmation=requires_confirmation,
    )

    def made(function: Callable[Parameters, Result]) -> FunctionTool[Parameters, Result]:
        return FunctionTool(
            function,
            name=name,
            description=description,
            annotations=annotations,
            category=category,
            timeout_s=timeout_s,
            capabilities=capabilities,
        )

    return made if function is None else made(function)


def _arguments_of(function: Callable[..., object]) -> tuple[tuple[str, ...], type[msgspec.Struct]]:
    """The names of the parameters that get the context, and a struct of all others."""
    name = getattr(function, "__name__", "the function")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as unfit:
        raise SchemaError(f"The annotations of {name} can't be read: {unfit}.") from None
    contexts: list[str] = []
    fields: list[tuple[str, object] | tuple[str, object, object]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise SchemaError(f"{name}: the parameter {parameter.name} must be one that is given by name.")
        hint = hints.get(parameter.name)
        if hint is None:
            raise SchemaError(f"{name}: the parameter {parameter.name} has no type.")
        if hint is ToolContext:
            contexts.append(parameter.name)
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, _described(hint)))
        else:
            fields.append((parameter.name, _described(hint), _default(parameter.default)))
    struct = msgspec.defstruct(
        f"{name}_arguments",
        typing.cast("list[str | tuple[str, type] | tuple[str, type, typing.Any]]", fields),
        frozen=True,
        forbid_unknown_fields=True,
        kw_only=True,
    )
    return tuple(contexts), struct


def _described(hint: object) -> object:
    """`Annotated[T, "words"]` as msgspec writes it; anything else as it is."""
    if get_origin(hint) is not Annotated:
        return hint
    inner, *extras = get_args(hint)
    metas = [msgspec.Meta(description=extra) if isinstance(extra, str) else extra for extra in extras]
    for meta in metas:
        if isinstance(meta, msgspec.Meta):
            inner = Annotated[inner, meta]
    described: object = inner
    return described


def _default(default: object) -> object:
    """A default that may be changed by a call is made anew for every call."""
    if isinstance(default, list | dict | set | bytearray):
        return msgspec.field(default_factory=functools.partial(copy.deepcopy, default))
    return default


async def _on_own_thread(call: Callable[[], object], name: str) -> object:
    """The result of a plain function, run on a thread that nobody else waits for; a cancelled call leaves it behind."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[object] = loop.create_future()

    def deliver(result: object, failure: BaseException | None) -> None:
        if done.done():
            return
        if failure is None:
            done.set_result(result)
        else:
            done.set_exception(failure)

    def work() -> None:
        result: object = None
        failure: BaseException | None = None
        try:
            result = call()
        except StopIteration as stop:  # can't be raised into a future
            failure = RuntimeError(f"StopIteration: {stop}")
        except BaseException as raised:
            failure = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, result, failure)

    threading.Thread(target=contextvars.copy_context().run, args=(work,), name=f"tool {name}", daemon=True).start()
    return await done
