"""What a page is made of: titled blocks of facts, lists, texts and forms. Handlers put them together, one template draws them.

Words in them are already in the reader's language; data stands in them as it is, and the template escapes all of it. Numbers, times and
amounts stay raw in a list's rows, so that exports carry what the fold has, and the template shows them for people.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

Value = str | int | float | bool | None | Sequence[str]
Row = Mapping[str, Value]
Kind = Literal["text", "code", "fold", "long", "number", "money", "price", "bytes", "time", "tag", "percent", "yes"]
"""How a value is shown. `money` and `price` are micro-credits and micro-USD, `time` microseconds since the epoch, `bytes` a size; `fold` is
long text that opens."""

Tone = Literal["", "good", "wait", "bad"]


class Fact(NamedTuple):
    """One labelled value."""

    label: str
    value: Value
    kind: Kind = "text"
    href: str = ""
    tone: Tone = ""


class Column(NamedTuple):
    """One column of a list. `name` is its key in the rows and in exports."""

    name: str
    heading: str
    kind: Kind = "text"
    href: Callable[[Row], str] | None = None
    shown: bool = True
    """Otherwise only in exports."""
    tone: Callable[[Row], Tone] | None = None


class Choice(NamedTuple):
    """A filter that stands in the address: a column's name, and the values that it may have with their words."""

    name: str
    label: str
    options: Sequence[tuple[str, str]]
    default: str = ""
    """What holds when the address names none; empty: everything."""


class Field(NamedTuple):
    """One input of a form."""

    name: str
    label: str
    kind: Literal["text", "area", "password", "hidden", "select", "check"] = "text"
    value: str = ""
    options: Sequence[tuple[str, str]] = ()
    required: bool = False
    most: int = 20_000
    note: str = ""


class Button(NamedTuple):
    """What sends a form."""

    label: str
    name: str = ""
    value: str = ""
    quiet: bool = False


@dataclass(frozen=True)
class Facts:
    """Labelled values; `figures` draws them large."""

    block: ClassVar[str] = "facts"
    facts: Sequence[Fact]
    title: str = ""
    figures: bool = False


@dataclass(frozen=True)
class Note:
    """A sentence or two."""

    block: ClassVar[str] = "note"
    text: str
    tone: Tone = ""
    title: str = ""
    href: str = ""
    link: str = ""


@dataclass(frozen=True)
class Code:
    """Text as it is: instructions, a document, a drawing."""

    block: ClassVar[str] = "code"
    text: str
    title: str = ""
    open: bool = True


@dataclass(frozen=True)
class Form:
    """A form that changes something."""

    block: ClassVar[str] = "form"
    action: str
    buttons: Sequence[Button]
    fields: Sequence[Field] = ()
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Card:
    """One thing that somebody decides about, with its facts and the forms that decide."""

    block: ClassVar[str] = "card"
    title: str
    facts: Sequence[Fact] = ()
    text: str = ""
    forms: Sequence[Form] = ()
    tone: Tone = ""
    href: str = ""
    tag: str = ""


@dataclass(frozen=True)
class Table:
    """A page of a list, as `listing.listed` makes it."""

    block: ClassVar[str] = "table"
    columns: Sequence[Column]
    rows: Sequence[Row]
    """What is shown."""
    every: Sequence[Row]
    """What an export holds."""
    empty: str
    title: str = ""
    choices: Sequence[Choice] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)
    searches: bool = True
    first: int = 0
    """Number of the first row that is shown; 0 when there is none."""
    total: int = 0
    previous: str = ""
    following: str = ""
    stream: Callable[[], AsyncIterator[Row]] | None = None
    """Where an export comes from when it is too long to be held."""

    @property
    def is_filtered(self) -> bool:
        """Whether the address asks for less than everything."""
        default = {choice.name: choice.default for choice in self.choices}
        return any(value != default.get(name, "") for name, value in self.chosen.items())


Block = Facts | Note | Code | Form | Card | Table


class Tab(NamedTuple):
    """A neighbouring view of the same area."""

    label: str
    href: str


@dataclass(frozen=True)
class View:
    """One page."""

    title: str
    blocks: Sequence[Block]
    command: str
    """The same in the terminal."""
    tabs: Sequence[Tab] = ()
    lead: str = ""
    refresh_s: int = 0
    status: int = 200

    @property
    def table(self) -> Table | None:
        """The page's list, if it has one."""
        return next((block for block in self.blocks if isinstance(block, Table)), None)
