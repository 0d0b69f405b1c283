"""Lists: filter and page stand in the address, and every list is exported as CSV or JSON under the same address.

    ?q=words            rows that hold the words, in any case
    ?status=running     a choice of the list
    ?page=2             fifty rows
    ?format=csv|json    everything that the filter leaves, all columns

In CSV a text that a spreadsheet would take for a formula gets a ' in front (OWASP, "CSV injection"); RFC 4180 otherwise.

Source: workspace-ui.md WS-CON-1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response, StreamingResponse

from life.aios.record import format_timestamp
from life.host.pages.parts import Choice, Column, Fact, Facts, Row, Table, Value, View

PER_PAGE: Final = 50
FORMATS: Final = ("csv", "json")
_LONGEST_QUERY: Final = 200
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def listed(
    query: Mapping[str, str],
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    empty: str,
    title: str = "",
    choices: Sequence[Choice] = (),
    searches: bool = True,
) -> Table:
    """The page of a list that the address asks for. What the address has and the list does not know is passed over."""
    chosen = {choice.name: _chosen(query, choice) for choice in choices}
    words = query.get("q", "")[:_LONGEST_QUERY].casefold() if searches else ""
    found = [
        row
        for row in rows
        if all(not value or _text(row.get(name)) == value for name, value in chosen.items()) and _holds(row, words)
    ]
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(number(query.get("page"), 1, least=1), pages)
    first = (page - 1) * PER_PAGE
    kept = {name: value for name, value in query.items() if name in chosen or (name == "q" and searches)}
    return Table(
        columns=columns,
        rows=found[first : first + PER_PAGE],
        every=found,
        empty=empty,
        title=title,
        choices=choices,
        chosen={**chosen, "q": query.get("q", "")[:_LONGEST_QUERY]},
        searches=searches,
        first=first + 1 if found else 0,
        total=len(found),
        previous=address(kept, page=page - 1) if page > 1 else "",
        following=address(kept, page=page + 1) if page < pages else "",
    )


def number(text: str | None, default: int, *, least: int = 0) -> int:
    """A number of the address, or the default for anything else."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 15:
        return default
    return max(least, int(text))


def address(query: Mapping[str, str], **more: object) -> str:
    """A query with what is added to it."""
    return "?" + urlencode({**{name: value for name, value in query.items() if value}, **more})


def export(view: View, form: str, name: str) -> Response:
    """The page's list in a format; a page without one has its facts as JSON."""
    headers = {**_HEADERS, "content-disposition": f'attachment; filename="{name}.{form}"'}
    table = view.table
    if table is None:
        facts = {fact.label: fact.value for block in view.blocks if isinstance(block, Facts) for fact in block.facts}
        if form == "csv":
            return Response(
                _csv_line(("name", "value")) + b"".join(_csv_line(item) for item in facts.items()),
                200,
                headers,
                "text/csv; charset=utf-8",
            )
        return Response(msgspec.json.encode(facts), 200, headers, "application/json")
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/json"
    if table.stream is not None:
        lines = _csv_stream(table) if form == "csv" else _json_stream(table)
        return StreamingResponse(lines, 200, headers, kind)
    if form == "csv":
        names = [column.name for column in table.columns]
        body = _csv_line(names) + b"".join(_csv_row(row, table.columns) for row in table.every)
    else:
        body = msgspec.json.encode([_json_row(row, table.columns) for row in table.every])
    return Response(body, 200, headers, kind)


def facts_of(struct: Mapping[str, Value]) -> list[Fact]:
    """A mapping's entries, as facts."""
    return [Fact(name, value) for name, value in struct.items()]


def _chosen(query: Mapping[str, str], choice: Choice) -> str:
    given = query.get(choice.name)
    if given is None:
        return choice.default
    return given if any(given == value for value, _ in choice.options) else ""


def _holds(row: Row, words: str) -> bool:
    return not words or any(words in _text(value).casefold() for value in row.values())


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return str(value)
    return ", ".join(value)


def _json_row(row: Row, columns: Sequence[Column]) -> dict[str, Value]:
    return {column.name: _exported(row.get(column.name), column) for column in columns}


def _exported(value: Value, column: Column) -> Value:
    """Times as text that programs read; everything else as it is."""
    if column.kind == "time" and isinstance(value, int):
        return format_timestamp(value) if value else None
    return value


def _csv_row(row: Row, columns: Sequence[Column]) -> bytes:
    return _csv_line([_text(_exported(row.get(column.name), column)) for column in columns])


def _csv_line(values: Sequence[Value]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerow([_harmless(value) for value in values])
    return file.getvalue().encode("utf-8", "replace")


def _harmless(value: Value) -> str:
    text = _text(value)
    is_number = isinstance(value, int | float) or text.lstrip("-").replace(".", "", 1).isdigit()
    return text if is_number or not text.startswith(_FORMULA) else f"'{text}"


async def _csv_stream(table: Table) -> AsyncIterator[bytes]:
    assert table.stream is not None
    yield _csv_line([column.name for column in table.columns])
    async for row in table.stream():
        yield _csv_row(row, table.columns)


async def _json_stream(table: Table) -> AsyncIterator[bytes]:
    assert table.stream is not None
    yield b"["
    comma = b""
    async for row in table.stream():
        yield comma + msgspec.json.encode(_json_row(row, table.columns))
        comma = b","
    yield b"]"
