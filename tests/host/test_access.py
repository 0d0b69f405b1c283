"""Who may use a daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from life.host.access import COOKIE_LIFETIME_S, LINK_LIFETIME_S, Access, load_or_create_token
from life.host.errors import DataDirectoryError
from life.testing.clock import ManualClock, SeededEntropy


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def access(clock: ManualClock) -> Access:
    return Access("t" * 43, clock, SeededEntropy())


def test_the_token_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    """The file has mode 0600 whatever the umask, and the second start reads the same token."""
    path = tmp_path / "token"
    before = os.umask(0)
    try:
        token = load_or_create_token(path, SeededEntropy())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_token(path, SeededEntropy("other")) == token
    assert len(token) == 43


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A world-readable token is worth nothing; the error says how to mend it."""
    path = tmp_path / "token"
    load_or_create_token(path, SeededEntropy())
    path.chmod(0o644)
    with pytest.raises(DataDirectoryError) as caught:
        load_or_create_token(path, SeededEntropy())
    assert caught.value.next_step == f"chmod 600 {path}"


def test_a_symlink_in_place_of_the_token_is_not_followed(tmp_path: Path) -> None:
    """A planted link can't make the daemon read somebody else's file as its token."""
    (tmp_path / "elsewhere").write_text("x" * 43)
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataDirectoryError):
        load_or_create_token(tmp_path / "token", SeededEntropy())


def test_only_the_token_is_the_token(access: Access) -> None:
    """Neither a prefix nor odd characters pass."""
    assert access.token_is_valid("t" * 43)
    assert not any(access.token_is_valid(text) for text in ("", "t" * 42, "t" * 44, "é" * 43, "\udc80"))


def test_a_link_works_once(access: Access) -> None:
    """The second click gets nothing."""
    code = access.new_link_code()
    cookie = access.redeem_link(code)
    assert cookie is not None
    assert access.cookie_is_valid(cookie)
    assert access.redeem_link(code) is None
    assert access.redeem_link("made up") is None


def test_links_and_cookies_expire(access: Access, clock: ManualClock) -> None:
    """A link lives ten minutes, a login seven days."""
    late = access.new_link_code()
    cookie = access.redeem_link(access.new_link_code())
    assert cookie is not None
    clock.advance_us(LINK_LIFETIME_S * 1_000_000)
    assert access.redeem_link(late) is None
    assert access.cookie_is_valid(cookie)
    clock.advance_us(COOKIE_LIFETIME_S * 1_000_000)
    assert not access.cookie_is_valid(cookie)


@pytest.mark.parametrize("place", [0, 5, 12, 20, -1])
def test_a_changed_cookie_is_refused(access: Access, place: int) -> None:
    """Any changed character breaks the seal."""
    cookie = access.redeem_link(access.new_link_code())
    assert cookie is not None
    characters = list(cookie)
    characters[place] = "A" if characters[place] != "A" else "B"
    assert not access.cookie_is_valid("".join(characters))


@pytest.mark.parametrize("text", ["", ".", "..", "9999999999.x.", "é.é.é", "x" * 5000])
def test_garbage_is_no_cookie(access: Access, text: str) -> None:
    """Garbage is refused without an error."""
    assert not access.cookie_is_valid(text)


def test_another_token_accepts_none_of_the_cookies(access: Access, clock: ManualClock) -> None:
    """Deleting the token file logs everybody out."""
    cookie = access.redeem_link(access.new_link_code())
    assert cookie is not None
    assert not Access("u" * 43, clock, SeededEntropy()).cookie_is_valid(cookie)


def test_a_forms_token_belongs_to_its_login() -> None:
    """The same cookie gives the same token, another cookie or another daemon another one; it does not tell the cookie."""
    clock = ManualClock()
    access = Access("t" * 43, clock, SeededEntropy())
    first = access.redeem_link(access.new_link_code())
    second = access.redeem_link(access.new_link_code())
    assert first is not None
    assert second is not None
    token = access.form_token(first)
    assert access.form_token_is_valid(first, token)
    assert not access.form_token_is_valid(second, token)
    assert not access.form_token_is_valid(first, "")
    assert not access.form_token_is_valid(first, token[:-1])
    assert not Access("u" * 43, clock, SeededEntropy()).form_token_is_valid(first, token)
    assert first not in token
    assert not access.cookie_is_valid(token)
