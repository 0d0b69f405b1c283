"""Templates to answers, with the frame around every page and the headers that keep untrusted text harmless."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Final, NamedTuple

import jinja2
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from life.aios.money import format_micro
from life.host.pages.listing import FORMATS, address
from life.host.pages.parts import Kind, Table, Value, View
from life.host.pages.transcript import short_time
from life.host.pages.visit import FORM_TOKEN, THEMES, Visit
from life.host.pages.words import LANGUAGES, Words

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "vary": "accept, accept-language, cookie",
}
_COMMAND: Final = re.compile(r"`([^`]{1,200})`")
_HIDING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u202a-\u202e\u2066-\u2069]")
_MOST_SHOWN: Final = 600
"""Characters of a value in a list; exports and single views have all of it."""


class Link(NamedTuple):
    """An entry of the navigation."""

    label: str
    href: str


class Group(NamedTuple):
    """Entries that belong together."""

    label: str
    links: Sequence[Link]


def navigation(say: Words) -> tuple[Group, ...]:
    """Every area, in groups."""
    return (
        Group(
            say("Work"),
            (
                Link(say("Overview"), "/"),
                Link(say("Workspace"), "/workspace"),
                Link(say("Sessions"), "/sessions"),
                Link(say("Inbox"), "/inbox"),
                Link(say("Agents"), "/agents"),
                Link(say("Memory"), "/memory"),
                Link(say("Knowledge"), "/knowledge"),
            ),
        ),
        Group(
            say("Means"),
            (
                Link(say("Finance"), "/finance"),
                Link(say("Autonomic"), "/autonomic"),
                Link(say("Policy"), "/policy"),
                Link(say("Models"), "/system/models"),
            ),
        ),
        Group(
            say("Parts"),
            (
                Link(say("Identity"), "/anima"),
                Link(say("Tools"), "/praxis"),
                Link(say("Spaces"), "/spaces"),
                Link(say("Journal"), "/lago"),
                Link(say("Traces"), "/vigil"),
                Link(say("System"), "/system"),
            ),
        ),
    )


def shown(value: Value, kind: Kind, say: Words) -> str | Markup:
    """A value for people. Nothing is drawn for nothing."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if isinstance(value, int):
        return _number(value, kind)
    if isinstance(value, float):
        return f"{value * 100:.0f} %" if kind == "percent" else f"{value:g}"
    if kind == "tag" and isinstance(value, str):
        return say.known(value)
    text = value if isinstance(value, str) else ("\n" if kind == "long" else ", ").join(value)
    return text if kind in ("long", "fold") or len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"


def _number(value: int, kind: Kind) -> str | Markup:
    if kind == "money":
        return format_micro(value)
    if kind == "price":
        whole, rest = divmod(value, 1_000_000)
        return f"${whole}.{f'{rest:06}'.rstrip('0').ljust(2, '0')}"
    if kind == "bytes":
        return _size(value)
    if kind == "time":
        if value <= 0:
            return ""
        told = short_time(value)
        return Markup('<time datetime="{}Z">{}</time>').format(told.replace(" ", "T"), told)
    return str(value)


def _size(value: int) -> str:
    size, unit = float(value), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{value} B" if unit == "B" else f"{size:.1f} {unit}"


def visible(value: object) -> object:
    """Text in which nothing is hidden: controls, and marks that turn text around (U+202A to 202E, 2066 to 2069), are shown by
    their numbers. What a person approves must read as it runs ("Trojan Source", CVE-2021-42574)."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _HIDING.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)
    return value


_templates: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("life.host.pages"),
    autoescape=True,
    finalize=visible,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    visit: Visit, template: str, title: str, *, status: int = 200, framed: bool = True, **values: object
) -> HTMLResponse:
    """A page from its template. A value that the template names and nobody gave is an error."""
    groups = navigation(visit.say) if framed else ()
    defaults: dict[str, object] = {
        "refresh_s": 0,
        "problem": "",
        "next_step": "",
        "command": "",
        "tabs": (),
        "lead": "",
        "exports": (),
        "say": visit.say,
        "language": visit.say.language,
        "languages": LANGUAGES,
        "theme": visit.preferences.theme,
        "themes": THEMES,
        "navigation": groups,
        "place": place_of(visit.path, groups),
        "here": visit.path,
        "form_token_name": FORM_TOKEN,
        "form_token": visit.form_token if framed else "",
        "shown": lambda value, kind="text": shown(value, kind, visit.say),
        "back": _back(visit),
    }
    html = _templates.get_template(template).render(defaults | values | {"title": title})
    return HTMLResponse(html, status, {**HEADERS, "content-language": visit.say.language})


def drawn(visit: Visit, view: View) -> HTMLResponse:
    """A page of blocks."""
    kept = {name: value for name, value in visit.query.items() if name not in ("format", "page", "after", "before")}
    exports = [(form.upper(), address(kept, format=form)) for form in FORMATS]
    return page(
        visit,
        "page.html",
        view.title,
        status=view.status,
        lead=view.lead,
        blocks=view.blocks,
        tabs=view.tabs,
        command=view.command,
        refresh_s=view.refresh_s,
        exports=exports if any(isinstance(block, Table) for block in view.blocks) else exports[1:],
    )


def place_of(here: str, groups: Sequence[Group]) -> str:
    """The entry of the navigation that somebody is under: the longest that leads to where they are."""
    if here.startswith("/s/"):
        return "/sessions"
    hrefs = [link.href for group in groups for link in group.links]
    return max(
        (href for href in hrefs if here == href or (href != "/" and here.startswith(href + "/"))), key=len, default=""
    )


def spoken(text: str) -> Markup:
    """A sentence of ours with commands between backticks; everything in it is escaped first."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(visible(text)))))  # noqa: S704 (escaped above)


def _back(visit: Visit) -> str:
    """Where the forms in the frame lead back to: here, without a login's code in it."""
    query = {name: value for name, value in visit.query.items() if name not in ("code", "format")}
    return visit.path + (address(query) if query else "")


_templates.filters["spoken"] = spoken


async def _style(_: Request) -> Response:
    return Response(_STYLE, media_type="text/css", headers={"cache-control": "max-age=3600"})


_STYLE: Final = files("life.host.pages").joinpath("static/life.css").read_bytes()

STATIC_ROUTES: Final = [Route("/static/life.css", _style)]
