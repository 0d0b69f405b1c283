"""One person's request for a page: words in their language, the query, the form, and the token that their forms carry."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from starlette.requests import Request

from life.aios.errors import InvalidInputError
from life.host.access import COOKIE_NAME, Access
from life.host.errors import ForbiddenError
from life.host.pages.words import LANGUAGES, Words, negotiate

PREFERENCES: Final = "life_pages"
"""The cookie with language and theme."""
THEMES: Final = ("auto", "light", "dark", "contrast")
FORM_TOKEN: Final = "form_token"  # noqa: S105 (a field's name)
_MAX_FORM_BYTES: Final = 262_144


class Preferences(NamedTuple):
    """What somebody has chosen. An empty language is the browser's."""

    language: str = ""
    theme: str = "auto"

    def cookie(self) -> str:
        """Its value."""
        return f"{self.language}.{self.theme}"


class Visit:
    """A request, read."""

    def __init__(self, request: Request, access: Access) -> None:
        self.request = request
        self.path = request.url.path
        self.query: dict[str, str] = dict(request.query_params)
        self.preferences = _preferences(request)
        accepted = request.headers.get("accept-language", "")
        self.say = Words(self.preferences.language or negotiate(accepted))
        self._cookie = _cookie(request, COOKIE_NAME)
        self._access = access

    @property
    def form_token(self) -> str:
        """What every form of this login carries; empty for programs, which have the daemon's token instead of a login."""
        return self._access.form_token(self._cookie) if self._cookie else ""

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    async def form(self) -> dict[str, str]:
        """The fields of a urlencoded form; the last one wins. ForbiddenError unless it came from a page of this very login:
        the guard has looked at where the request comes from, and this does not rest on the browser's word alone."""
        raw = bytearray()
        async for chunk in self.request.stream():
            raw += chunk
            if len(raw) > _MAX_FORM_BYTES:
                raise InvalidInputError("The form is too large.")
        try:
            fields = parse_qs(raw.decode(errors="replace"), keep_blank_values=True, max_num_fields=40)
        except ValueError:
            raise InvalidInputError("The form has too many fields.") from None
        form = {name: values[-1] for name, values in fields.items()}
        given = form.pop(FORM_TOKEN, "")
        # Only a bearer token, which the guard has checked: a browser sends other kinds by itself.
        is_program = self.request.headers.get("authorization", "")[:7].lower() == "bearer "
        if not is_program and not self._access.form_token_is_valid(self._cookie, given):
            raise ForbiddenError("This form is not from a page of this login.", next_step="Open the page again.")
        return form


def _preferences(request: Request) -> Preferences:
    language, _, theme = _cookie(request, PREFERENCES).partition(".")
    return Preferences(language if language in LANGUAGES else "", theme if theme in THEMES else "auto")


def _cookie(request: Request, name: str) -> str:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value
