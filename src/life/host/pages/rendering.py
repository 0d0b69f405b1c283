"""Templates to answers, with the headers that keep untrusted text harmless."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

NAVIGATION: Final = (
    ("Workspace", "/workspace"),
    ("Sessions", "/"),
    ("Ledger", "/ledger"),
    ("Identity", "/identity"),
    ("System", "/system"),
)

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}

_templates: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("life.host.pages"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
)


def page(template: str, title: str, here: str = "", *, http_status: int = 200, **values: object) -> HTMLResponse:
    """A page from its template. A value that the template names and nobody gave is an error."""
    defaults: dict[str, object] = {"refresh_s": 0, "problem": "", "navigation": NAVIGATION if here else ()}
    html = _templates.get_template(template).render(defaults | values | {"title": title, "here": here})
    return HTMLResponse(html, http_status, HEADERS)


async def _style(_: Request) -> Response:
    return Response(_STYLE, media_type="text/css", headers={"cache-control": "max-age=3600"})


_STYLE: Final = files("life.host.pages").joinpath("static/life.css").read_bytes()

STATIC_ROUTES: Final = [Route("/static/life.css", _style)]
