"""What a browser makes of a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

import httpx2

HOST = "127.0.0.1:3000"
ORIGIN = {"origin": f"http://{HOST}"}
TOKEN = "t" * 43
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Page(NamedTuple):
    """Tags, event handlers, forms with their first values, links, and the text."""

    tags: list[str]
    handlers: list[str]
    forms: list[dict[str, str]]
    links: list[str]
    text: str


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page([], [], [], [], "")
        self.words: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.page.tags.append(tag)
        self.silent += tag in ("style", "title")
        self.page.handlers.extend(name for name in given if name.startswith("on") or name in ("style", "srcdoc"))
        self.page.handlers.extend(
            value for name, value in given.items() if name in ("href", "action", "src") and "script:" in value
        )
        if tag == "a":
            self.page.links.append(given.get("href", ""))
        if tag == "form":
            self.page.forms.append({"action": given["action"]})
        elif tag in ("input", "button") and "name" in given and self.page.forms:
            self.page.forms[-1].setdefault(given["name"], given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.words.append(data)


def read(text: str) -> Page:
    """A page, read."""
    reader = _Reader()
    reader.feed(text)
    return reader.page._replace(text=" ".join(reader.words))


def form_to(text: str, action: str) -> dict[str, str]:
    """The fields of the form of a page that leads there, its token among them."""
    return next(form for form in read(text).forms if form["action"] == action)


def digits_of(text: str) -> set[str]:
    """The runs of digits in it."""
    return set(re.findall(r"\d+", text))


async def form_token(browser: httpx2.AsyncClient) -> str:
    """What this login's forms carry."""
    return form_to((await browser.get("/", headers=BROWSER)).text, "/sessions")["form_token"]
