"""The SQL subset: what official clients write is understood, the rest is refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.spaces.errors import SpacesError
from life.spaces.listeners.spacetimedb.errors import UnsupportedSqlError
from life.spaces.listeners.spacetimedb.sql import parse

IDENTITY = "c2" * 32


@pytest.mark.parametrize(
    ("query", "table", "where"),
    [
        ("SELECT * FROM message", "message", {}),
        ("select * from message;", "message", {}),
        ('SELECT * FROM "message"', "message", {}),
        ('SELECT "message".* FROM "message"', "message", {}),
        ("SELECT * FROM message WHERE channel_id = 7", "message", {"channel_id": 7}),
        ('SELECT * FROM "channel" WHERE ("channel"."id" = 1)', "channel", {"id": 1}),
        ("SELECT * FROM channel WHERE (id = 1) AND (name = 'it''s')", "channel", {"id": 1, "name": "it's"}),
        (f"SELECT * FROM server_member WHERE identity = 0x{IDENTITY}", "server_member", {"identity": IDENTITY}),
        ("SELECT * FROM user_profile WHERE is_agent = TRUE", "user_profile", {"is_agent": True}),
        ("SELECT * FROM channel WHERE channel_type = 'AgentLog'", "channel", {"channel_type": "AgentLog"}),
        ("SELECT * FROM message WHERE reply_to_id = 3", "message", {"reply_to_id": 3}),
        ("SELECT * FROM channel WHERE id = 1 AND id = 1", "channel", {"id": 1}),
    ],
)
def test_what_clients_write_is_understood(query: str, table: str, where: dict[str, object]) -> None:
    """Quoted and bare names, parentheses, every kind of literal."""
    parsed = parse(query)
    assert (parsed.table, parsed.where) == (table, where)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "SELECT",
        "SELECT * FROM",
        "SELECT * FROM nothing",
        "SELECT * FROM idempotency",
        "SELECT * FROM slow_mode",
        "SELECT id FROM message",
        "SELECT COUNT(*) FROM message",
        "SELECT * FROM message WHERE",
        "SELECT * FROM message WHERE id",
        "SELECT * FROM message WHERE id = ",
        "SELECT * FROM message WHERE id > 1",
        "SELECT * FROM message WHERE id != 1",
        "SELECT * FROM message WHERE id = 1 OR id = 2",
        "SELECT * FROM message WHERE id = 1 AND id = 2",
        "SELECT * FROM message WHERE id = 'one'",
        "SELECT * FROM message WHERE content = 1",
        "SELECT * FROM message WHERE created_us = 1",
        "SELECT * FROM message WHERE sender = 0xff",
        "SELECT * FROM message WHERE unknown = 1",
        "SELECT * FROM message WHERE channel.id = 1",
        "SELECT * FROM message JOIN channel ON message.channel_id = channel.id",
        "SELECT * FROM message LIMIT 5",
        "SELECT * FROM message; DROP TABLE message",
        "DELETE FROM message",
        "INSERT INTO message VALUES (1)",
        "SELECT * FROM message WHERE content = 'unterminated",
        "SELECT * FROM message -- comment",
        "SELECT * FROM message WHERE " + "(" * 100 + "id = 1" + ")" * 100,
        "SELECT * FROM message WHERE id = " + "9" * 30,
        "SELECT * FROM message WHERE content = '" + "x" * 5000 + "'",
    ],
)
def test_the_rest_is_politely_refused(query: str) -> None:
    """Nothing is half understood; the sentence says what would be."""
    with pytest.raises(UnsupportedSqlError, match="SELECT \\* FROM table"):
        parse(query)


@given(st.text(max_size=200) | st.from_regex(r"SELECT \* FROM [a-z_]+( WHERE .{0,60})?"))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    """No other error."""
    try:
        parse(text)
    except SpacesError as error:
        assert error.code == "spaces.unsupported_sql"
