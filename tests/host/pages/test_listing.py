"""Lists: what the address asks for is what is shown and exported, and nothing that somebody wrote becomes a formula."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from life.host.pages.listing import PER_PAGE, export, listed, number
from life.host.pages.parts import Choice, Column, Fact, Facts, Row, View
from life.host.pages.rendering import shown, spoken, visible
from life.host.pages.words import Words

COLUMNS = [
    Column("name", "Name"),
    Column("state", "State", "tag"),
    Column("at", "At", "time"),
    Column("count", "Count", "number"),
    Column("hidden", "Hidden", shown=False),
]
STATES = Choice("state", "State", [("open", "open"), ("closed", "closed")])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.text(max_size=12),
            "state": st.sampled_from(["open", "closed"]),
            "at": st.integers(0, 4_000_000_000_000_000),
            "count": st.integers(-5, 10**9),
            "hidden": st.none() | st.text(max_size=5),
        }
    ),
    max_size=130,
)


def view(rows: list[Row], query: dict[str, str]) -> View:
    return View("t", [listed(query, COLUMNS, rows, empty="none", choices=[STATES])], "life status")


@given(
    rows=ROWS,
    state=st.sampled_from(["", "open", "closed", "<b>"]),
    page=st.sampled_from(["", "1", "2", "3", "-1", "x"]),
)
def test_every_row_is_on_exactly_one_page(rows: list[Row], state: str, page: str) -> None:
    """The pages of a filter together are what its export holds, in order; a page that there is not is the last one."""
    wanted = [row for row in rows if state not in ("open", "closed") or row["state"] == state]
    table = listed({"state": state, "page": page}, COLUMNS, rows, empty="none", choices=[STATES])
    assert list(table.every) == wanted
    assert table.total == len(wanted)
    pages = max(1, -(-len(wanted) // PER_PAGE))
    joined = [
        row
        for turn in range(1, pages + 1)
        for row in listed({"state": state, "page": str(turn)}, COLUMNS, rows, empty="none", choices=[STATES]).rows
    ]
    assert joined == wanted
    assert bool(table.following) == (table.first + len(table.rows) - 1 < len(wanted) and bool(wanted))


@given(rows=ROWS)
def test_both_exports_hold_every_row(rows: list[Row]) -> None:
    """JSON has what was handed over, CSV the same as text; times are RFC 3339; hidden columns are in both."""
    documents = json.loads(bytes(export(view(rows, {}), "json", "x").body))
    assert [(each["name"], each["count"], each["hidden"]) for each in documents] == [
        (row["name"], row["count"], row["hidden"]) for row in rows
    ]
    lines = list(csv.reader(io.StringIO(bytes(export(view(rows, {}), "csv", "x").body).decode(), newline="")))
    assert lines[0] == ["name", "state", "at", "count", "hidden"]
    assert len(lines) == len(rows) + 1
    for line, row, document in zip(lines[1:], rows, documents, strict=True):
        assert line[3] == str(row["count"])
        assert line[2] == (document["at"] or "")
        assert line[0].removeprefix("'") == str(row["name"]).removeprefix("'")


@given(text=st.text(min_size=1, max_size=30))
def test_no_text_of_somebody_is_a_formula(text: str) -> None:
    """What a spreadsheet would compute gets a ' in front; a number stays a number."""
    for begin in ("=", "+", "-", "@", "\t", "\r", ""):
        rows: list[Row] = [{"name": begin + text, "state": "open", "at": 0, "count": -7, "hidden": None}]
        lines = list(csv.reader(io.StringIO(bytes(export(view(rows, {}), "csv", "x").body).decode(), newline="")))
        assert not lines[1][0].startswith(("=", "+", "@", "\t", "\r"))
        assert lines[1][3] == "-7"


@given(text=st.text(max_size=40))
def test_nothing_is_hidden_in_a_text(text: str) -> None:
    """Controls and marks that turn text around are shown by their numbers, everything else is as it was."""
    for mark in ("\u202e", "\u2066", "\x1b", "\x00", "\x9b"):
        drawn = str(visible(f"a{mark}{text}"))
        assert mark not in drawn
        assert f"⟨U+{ord(mark):04X}⟩" in drawn
    assert "<" not in spoken(text).replace("<code>", "").replace("</code>", "").replace("&lt;", "")


@given(text=st.text(max_size=25))
def test_a_number_of_the_address_is_one(text: str) -> None:
    """Anything else is the default; none is below the least."""
    assert number(text, 7, least=1) >= 1


def test_values_are_shown_for_people() -> None:
    """Money, prices, sizes and times with their units; nothing for nothing; a list with commas."""
    say = Words("es")
    assert shown(None, "text", say) == ""
    assert shown(0, "number", say) == "0"
    assert shown(True, "yes", say) == "sí"
    assert shown(250_000, "money", say) == "0.25 USDC"
    assert shown(750_000, "price", say) == "$0.75"
    assert shown(1_536, "bytes", say) == "1.5 KiB"
    assert shown(0.25, "percent", say) == "25 %"
    assert "2026-11-20 17:00:00" in shown(1_795_194_000_000_000, "time", say)
    assert shown(("a", "b"), "code", say) == "a, b"
    assert shown("running", "tag", say) == "en marcha"
    assert len(shown("x" * 10_000, "text", say)) == 601


def test_a_page_of_facts_is_exported_too() -> None:
    """As one JSON object, or lines of name and value."""
    page = View("t", [Facts([Fact("Name", "=a"), Fact("Count", 3, "number")])], "life status")
    assert json.loads(bytes(export(page, "json", "x").body)) == {"Name": "=a", "Count": 3}
    assert bytes(export(page, "csv", "x").body).decode().splitlines() == ["name,value", "Name,'=a", "Count,3"]
