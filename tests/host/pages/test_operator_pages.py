"""Every page of the operator: on an empty store and on one full of hostile words, in both languages, exported, and protected."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import httpx2
import pytest
from starlette.responses import HTMLResponse

import life.host.pages
from life.cli.groups import arcan, haima, lago
from life.cli.groups import life as life_group
from life.host.pages import people, rendering
from life.host.pages.parts import Card, Code, Facts, Form, Kind, Table, Value, View
from life.host.pages.visit import Visit
from life.host.pages.words import LANGUAGES, Words, catalogue, negotiate
from life.host.system import System
from tests.host.pages.reading import BROWSER, ORIGIN, TOKEN, digits_of, form_to, form_token, read
from tests.host.pages.seeded import something_everywhere, waiting_call, waiting_payment

SOURCES = Path(life.host.pages.__file__).parent
ADDRESSES = (
    "/",
    "/sessions",
    "/inbox",
    "/inbox/payments",
    "/agents",
    "/memory",
    "/memory/proposals",
    "/knowledge",
    "/finance",
    "/finance/ledger",
    "/finance/accounts",
    "/finance/policy",
    "/finance/credit",
    "/finance/bills",
    "/autonomic",
    "/autonomic/sessions",
    "/autonomic/history",
    "/policy",
    "/anima",
    "/anima/rotations",
    "/anima/grants",
    "/anima/verify",
    "/praxis",
    "/praxis/skills",
    "/praxis/mcp",
    "/praxis/sandboxes",
    "/spaces",
    "/spaces/channels",
    "/spaces/members",
    "/spaces/peers",
    "/spaces/tasks",
    "/spaces/log",
    "/lago",
    "/lago/kinds",
    "/lago/blobs",
    "/lago/snapshots",
    "/lago/checkpoints",
    "/lago/verify",
    "/vigil",
    "/vigil/metrics",
    "/system",
    "/system/check",
    "/system/versions",
    "/system/configuration",
    "/system/logs",
    "/system/backup",
    "/system/models",
)
SINGLE = (
    "/s/worked",
    "/s/worked/journal",
    "/s/waits",
    "/agents/auditor",
    "/praxis/tools/read_file",
    "/praxis/skills/audit",
    "/spaces/channels/1",
    "/spaces/channels/2",
    "/lago/events?stream=worked",
    "/vigil/worked",
    "/autonomic/sessions/worked",
)
MARKUP = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'{{ 7*7 }}{% raw %}</pre></textarea></title><!--"
TURNING = "\x1b\x00\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HOSTILE = {
    "markup": MARKUP,
    "direction": "abc\u202etxt.exe\u202c\u2066\x1b[2J\u200b " + MARKUP,
    "length": ("=HYPERLINK(1)<b>x</b> " * 500)[:10_000],
}


async def get(browser: httpx2.AsyncClient, path: str, **headers: str) -> httpx2.Response:
    return await browser.get(path, headers={**BROWSER, **headers})


# --- on an empty store ---------------------------------------------------------------------------------------------------


async def test_the_list_of_addresses_is_whole(browser: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is added is added to these tests, too."""
    places = {
        match[1]
        for path in SOURCES.joinpath("areas").glob("*.py")
        for match in re.finditer(r'Place\("([^"{]+)", self\.\w+\)', path.read_text())
    }
    assert places - {"/knowledge/note", "/lago/events"} == set(ADDRESSES)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
async def test_every_page_on_an_empty_store(browser: httpx2.AsyncClient, language: str) -> None:
    """HTML in the language that was asked for, in the frame with its place marked, with the command that shows the same, and an
    answer within the policy; a list without entries says so in words."""
    for path in ADDRESSES:
        answer = await get(browser, path, **{"accept-language": language})
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith("text/html"), path
        assert f'<html lang="{language}"' in answer.text
        assert answer.text.count('aria-current="page"') >= 2, path
        assert 'class="same"' in answer.text, path
        assert "unsafe" not in answer.headers["content-security-policy"]
        page = read(answer.text)
        assert "script" not in page.tags, path
        assert page.handlers == [], path
        assert page.tags.count("h1") == 1, path
        for word in ("None", "{}", "[]", "undefined", "Undefined"):
            assert word not in page.text.split(), (path, word)


class Drawn:
    """Every view that was drawn, as it was handed over."""

    def __init__(self) -> None:
        self.views: list[View] = []


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    kept, draw = Drawn(), rendering.drawn

    def keep(visit: Visit, view: View) -> HTMLResponse:
        kept.views.append(view)
        return draw(visit, view)

    monkeypatch.setattr(people, "drawn", keep)
    return kept


def told(view: View) -> Iterator[str]:
    """Every value of a view as a page shows it."""
    say = Words("en")

    def value(raw: Value, kind: Kind) -> str:
        return re.sub(r"<[^>]+>", " ", str(rendering.shown(raw, kind, say)))

    yield view.title + " " + view.lead + " " + view.command + " " + " ".join(tab.label for tab in view.tabs)
    for block in view.blocks:
        match block:
            case Facts():
                yield from (value(fact.value, fact.kind) for fact in block.facts)
            case Card():
                yield from (value(fact.value, fact.kind) for fact in block.facts)
                yield f"{block.title} {block.text}"
            case Code():
                yield f"{block.title} {block.text}"
            case Table():
                yield from (value(row.get(each.name), each.kind) for row in block.rows for each in block.columns)
                yield from (words for choice in block.choices for _, words in choice.options)
                yield f"{block.first} {len(block.rows)} {block.total}"
            case Form():
                yield from (field.value for field in block.fields)
            case _:
                yield block.text


async def test_no_digit_comes_from_nowhere(browser: httpx2.AsyncClient, drawn: Drawn) -> None:
    """On an empty store every run of digits on a page is in a value that the page was handed (WS-CON-4)."""
    for path in ADDRESSES:
        answer = await get(browser, path)
        allowed = {digits for text in told(drawn.views[-1]) for digits in digits_of(text)}
        assert digits_of(read(answer.text).text) <= allowed, path


def test_no_area_hands_over_a_digit_of_its_own() -> None:
    """Neither a fact nor a row has a number or a text with digits written into the source: every one is read from somewhere."""
    fine = {"SHA-256"}
    for path in sorted(SOURCES.joinpath("areas").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Fact", "Note"):
                values = node.args[:2]
            elif isinstance(node, ast.Dict):
                values = node.values
            for value in values:
                for inner in [value, *getattr(value, "values", [])]:
                    if isinstance(inner, ast.Constant) and inner.value not in fine:
                        assert not digits_of(str(inner.value)), (path.name, value.lineno, inner.value)


def test_neither_words_nor_templates_hold_digits() -> None:
    """The catalogue's sentences and the templates' text have none, so that none is drawn without a value."""
    for language in LANGUAGES:
        for english, words in catalogue(language).items():
            assert not digits_of(re.sub(r"SHA-256|A2A", "", words)), words
            assert not digits_of(re.sub(r"SHA-256|A2A", "", english)), english
    for path in SOURCES.joinpath("templates").glob("*.html"):
        text = re.sub(r"\{[{%].*?[%}]\}|<[^>]*>|&[#\w]+;", " ", path.read_text(), flags=re.DOTALL)
        assert not digits_of(text), path.name


# --- words ---------------------------------------------------------------------------------------------------------------


def spoken() -> set[str]:
    """Every sentence that a page says."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (
                (isinstance(node.func, ast.Name) and node.func.id == "say")
                or (isinstance(node.func, ast.Attribute) and node.func.attr == "say")
            ):
                assert isinstance(node.args[0], ast.Constant), (
                    f"{path.name}:{node.lineno} says something that nobody can translate"
                )
                found.add(str(node.args[0].value))
    for path in SOURCES.joinpath("templates").glob("*.html"):
        found |= {
            double or single for double, single in re.findall(r"""say\((?:"([^"]*)"|'([^']*)')""", path.read_text())
        }
    return found


def test_every_sentence_is_in_spanish() -> None:
    """None is missing, and each keeps what belongs in its places."""
    spanish = catalogue("es")
    assert spoken() - spanish.keys() == set()
    for english in spoken():
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", spanish[english])), english


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("es", "es"),
        ("es-MX,en;q=0.5", "es"),
        ("de,fr;q=0.9", "en"),
        ("en;q=0.4, es;q=0.8", "es"),
        ("es;q=0", "en"),
        ("es;q=high", "en"),
        ("*", "en"),
        ("," * 10_000 + "es", "en"),
    ],
)
def test_the_language_is_negotiated(accepted: str, language: str) -> None:
    """The highest weight that there is wins; nonsense is English."""
    assert negotiate(accepted) == language


async def test_a_choice_is_kept_and_wins(browser: httpx2.AsyncClient) -> None:
    """Language and colours by a form, in a cookie of this daemon alone; it leads back to the page, never to another host."""
    token = await form_token(browser)
    chosen = {"language": "es", "theme": "dark", "back": "/finance/ledger?what=paid", "form_token": token}
    answer = await browser.post("/preferences", data=chosen, headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/finance/ledger?what=paid")
    flags = answer.headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=strict" in flags
    page = await get(browser, "/inbox", **{"accept-language": "en"})
    assert '<html lang="es" data-theme="dark">' in page.text
    assert "Bandeja" in page.text
    for back in ("//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\r\nx: y", ""):
        answer = await browser.post("/preferences", data={**chosen, "back": back}, headers=ORIGIN)
        assert answer.headers["location"] == "/", back
    for wrong in ({"language": "xx"}, {"theme": "<b>"}):
        assert (await browser.post("/preferences", data={**chosen, **wrong}, headers=ORIGIN)).status_code == 400
    cookies = f"life_login={browser.cookies['life_login']}; life_pages=<script>.x"
    assert '<html lang="en" data-theme="auto">' in (await get(browser, "/inbox", cookie=cookies)).text


# --- hostile words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(HOSTILE))
async def test_hostile_words_stay_words(browser: httpx2.AsyncClient, system: System, tmp_path: Path, kind: str) -> None:
    """Markup, control characters, other directions and great lengths, in every field that can hold them, in the address too: no
    tag and no handler comes of them, and no page grows without end."""
    words = HOSTILE[kind]
    await something_everywhere(system, tmp_path, words)
    memory = re.search(r'href="(/memory/[^"]+)"', (await get(browser, "/memory")).text.split("<tbody>")[1])
    assert memory is not None
    for path in (*ADDRESSES, *SINGLE, memory[1]):
        answer = await get(browser, path)
        assert answer.status_code == 200, (path, read(answer.text).text[-300:])
        page = read(answer.text)
        for tag in ("script", "img", "b", "iframe", "object", "svg"):
            assert tag not in page.tags, (path, tag)
        assert page.handlers == [], path
        assert not set(answer.text) & set(TURNING), path
        assert len(answer.content) < 400_000, path
    asked = dict.fromkeys(
        ("q", "scope", "branch", "path", "stream", "what", "state", "page", "after", "level"), words[:3000]
    )
    for path in (*ADDRESSES, "/s/worked/journal", "/lago/events", "/knowledge/note", "/autonomic/sessions/worked"):
        answer = await browser.get(path, headers=BROWSER, params=asked)
        assert answer.status_code in (200, 400, 404), path
        page = read(answer.text)
        assert not {"script", "img", "b"} & set(page.tags), path
        assert page.handlers == [], path


async def test_what_somebody_wrote_is_shown_as_it_is(
    browser: httpx2.AsyncClient, system: System, tmp_path: Path
) -> None:
    """The words are there, whole or cut, where somebody has to see them: in the inbox, the memory, the log, the agent."""
    await something_everywhere(system, tmp_path, MARKUP)
    for path in ("/inbox", "/memory", "/memory/proposals", "/system/logs", "/agents/auditor", "/s/waits", "/sessions"):
        page = read((await get(browser, path)).text)
        assert "<script>alert(1)</script>" in page.text, path
        assert "7*7" in page.text, path


async def test_secrets_are_on_no_page(browser: httpx2.AsyncClient, system: System, tmp_path: Path) -> None:
    """Neither the daemon's token, nor a server's arguments, nor a stored key, nor the login's cookie."""
    await something_everywhere(system, tmp_path)
    system.model_keys.store("anthropic", "sk-test-0123456789-abcdefghij")
    cookie = browser.cookies["life_login"]
    for path in (*ADDRESSES, *SINGLE):
        for form in ("", "csv", "json"):
            text = (await browser.get(path, headers=BROWSER, params={"format": form} if form else {})).text
            for secret in (TOKEN, "secret-argument", "sk-test-0123456789", cookie):
                assert secret not in text, (path, form)


# --- exports -------------------------------------------------------------------------------------------------------------


async def test_every_list_is_exported(
    browser: httpx2.AsyncClient, system: System, tmp_path: Path, drawn: Drawn
) -> None:
    """CSV and JSON of the same rows, as files that no browser runs; the filter of the address holds for them."""
    await something_everywhere(system, tmp_path, "=1+1 " + MARKUP)
    for path in (*ADDRESSES, "/s/worked/journal", "/vigil/worked"):
        page = await get(browser, path)
        if drawn.views[-1].table is None:
            continue
        assert "format=csv" in page.text, path
        told_csv = await get(browser, f"{path}?format=csv")
        told_json = await get(browser, f"{path}?format=json")
        assert told_csv.headers["content-type"].startswith("text/csv")
        assert told_json.headers["content-type"] == "application/json"
        for answer in (told_csv, told_json):
            assert answer.headers["content-disposition"].startswith("attachment"), path
            assert answer.headers["x-content-type-options"] == "nosniff"
        rows = list(csv.reader(io.StringIO(told_csv.text)))
        documents = json.loads(told_json.text)
        if path not in (
            "/system/logs",
            "/system",
            "/vigil/metrics",
            "/lago",
            "/lago/blobs",
        ):  # reading them changes some
            assert len(rows) - 1 == len(documents), path
        for row in rows:
            for cell in row:
                assert not cell.startswith(("=", "@", "+")), (path, cell[:40])


async def test_a_filter_stands_in_the_address(browser: httpx2.AsyncClient, system: System) -> None:
    """Words and choices narrow page and export alike; sixty sessions come in two pages; a filter without result says so."""
    for number in range(60):
        state = await system.runtime.create_session(f"s{number:02}", name=f"order {number:02}")
        if number % 2:
            await system.runtime.close_session(state.session_id)
    first = read((await get(browser, "/sessions")).text)
    assert "1 to 50 of 60" in first.text
    second = read((await get(browser, "/sessions?page=2")).text)
    assert "51 to 60 of 60" in second.text
    assert read((await get(browser, "/sessions?page=99")).text).text == second.text.replace("page=2", "page=99")
    closed = json.loads((await get(browser, "/sessions?state=closed&format=json")).text)
    assert len(closed) == 30
    assert {row["state"] for row in closed} == {"closed"}
    found = json.loads((await get(browser, "/sessions?q=ORDER+07&format=json")).text)
    assert [row["session_id"] for row in found] == ["s07"]
    both = json.loads((await get(browser, "/sessions?q=order+07&state=idle&format=json")).text)
    assert both == []
    assert "Nothing fits the filter." in (await get(browser, "/sessions?q=nowhere")).text
    next_page = re.search(r'rel="next" href="([^"]+)"', (await get(browser, "/sessions?q=order")).text)
    assert next_page is not None
    assert "q=order" in next_page[1]


# --- protection ----------------------------------------------------------------------------------------------------------


def posts() -> list[str]:
    """Every address that takes a form."""
    found = [
        match[1]
        for path in sorted(SOURCES.joinpath("areas").glob("*.py"))
        for match in re.finditer(r'Place\("([^"]+)", self\.\w+, "POST"\)', path.read_text())
    ]
    return [*found, "/preferences"]


async def test_a_form_of_another_page_changes_nothing(browser: httpx2.AsyncClient) -> None:
    """Without the login's token, with another's, from another origin, without an origin, under another host's name: refused, at
    every address that takes a form. A password that a browser sends by itself is no program's token."""
    mine = await form_token(browser)
    other = {"objective": "x", "language": "es", "theme": "dark", "decision": "approve", "key": "k"}
    whole = {**other, "form_token": mine}
    for path in posts():
        address = re.sub(r"\{\w+\}", "anthropic", path)
        for fields in (other, {**other, "form_token": "x" * 43}, {**other, "form_token": mine[:-1]}):
            assert (await browser.post(address, data=fields, headers=ORIGIN)).status_code == 403, (path, fields)
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {},
            {"sec-fetch-site": "cross-site"},
            {"host": "evil.example:3000"},
        ):
            assert (await browser.post(address, data=whole, headers=headers)).status_code == 403, (path, headers)
        basic = {**ORIGIN, "authorization": "Basic dTpw"}
        assert (await browser.post(address, data=other, headers=basic)).status_code == 403, path


async def test_another_logins_form_is_no_good(browser: httpx2.AsyncClient, system: System) -> None:
    """The token belongs to the cookie: a second login has another one."""
    mine = await form_token(browser)
    link = (await browser.post("/login-links", headers={"authorization": f"Bearer {TOKEN}"})).json()["path"]
    assert (await browser.get(link)).status_code == 303
    assert await form_token(browser) != mine
    refused = await browser.post("/sessions", data={"objective": "x", "form_token": mine}, headers=ORIGIN)
    assert refused.status_code == 403
    assert await system.runtime.sessions() == []


async def test_pages_want_the_login(stranger: httpx2.AsyncClient) -> None:
    """Every address sends a stranger to the login, and tells a program 401."""
    for path in (*ADDRESSES, *SINGLE):
        answer = await get(stranger, path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path
        assert (await stranger.get(path)).status_code == 401, path
        assert (await get(stranger, path, host="evil.example")).status_code == 403, path


async def test_programs_and_people_share_addresses(browser: httpx2.AsyncClient) -> None:
    """`/sessions` and `/agents` are JSON for whoever does not ask for a page."""
    for path in ("/sessions", "/agents"):
        assert (await browser.get(path)).headers["content-type"] == "application/json"
        assert (await get(browser, path)).headers["content-type"].startswith("text/html")
    created = await browser.post("/sessions", json={"session_id": "mine"}, headers=ORIGIN)
    assert created.status_code == 201
    assert (await get(browser, "/agents/nobody")).status_code == 404


async def test_an_address_that_there_is_not(browser: httpx2.AsyncClient) -> None:
    """A page with the way back for people, a problem for programs; nothing of the address is drawn."""
    for path in ("/nowhere", "/finance/nowhere", f"/{MARKUP.replace('/', '')}", "/sessions/"):
        answer = await get(browser, path)
        assert answer.status_code == 404
        assert "There is no such page." in answer.text
        assert read(answer.text).tags.count("a") > 10
        assert "alert(1)" not in read(answer.text).tags
        assert (await browser.get(path)).headers["content-type"] == "application/problem+json"


async def test_old_addresses_lead_on(browser: httpx2.AsyncClient) -> None:
    """What was printed or kept before still leads somewhere."""
    for old, new in people.MOVED.items():
        answer = await get(browser, old)
        assert (answer.status_code, answer.headers["location"]) == (308, new)


# --- the same in the terminal --------------------------------------------------------------------------------------------


async def test_every_command_is_one(browser: httpx2.AsyncClient, system: System, tmp_path: Path, drawn: Drawn) -> None:
    """What a page names as "the same in the terminal" is a command of this installation, with options that it has."""
    await something_everywhere(system, tmp_path)
    for path in (*ADDRESSES, *(each for each in SINGLE if not each.startswith("/s/") or each.endswith("journal"))):
        assert (await get(browser, path)).status_code == 200, path
    groups = {"life": life_group, "arcan": arcan, "haima": haima, "lago": lago}
    for view in drawn.views:
        name, *words = view.command.split()
        command: click.Command = groups[name]
        context = click.Context(command)
        while isinstance(command, click.Group) and words:
            found = command.get_command(context, words[0])
            assert found is not None, view.command
            command = found
            words.pop(0)
        options = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
        for word in words:
            assert not word.startswith("-") or word in options, view.command
        assert not isinstance(command, click.Group) or command.invoke_without_command, view.command


# --- what forms do -------------------------------------------------------------------------------------------------------


async def test_the_inbox_approves_edits_and_refuses(
    browser: httpx2.AsyncClient, system: System, tmp_path: Path
) -> None:
    """Edited arguments are what runs; a reason reaches the model; decided is decided, and the second one is told."""
    await waiting_call(system, tmp_path)
    page = (await get(browser, "/inbox")).text
    action = next(form["action"] for form in read(page).forms if form["action"].startswith("/inbox/calls/"))
    fields = {key: value for key, value in form_to(page, action).items() if key != "action"}
    broken = {**fields, "decision": "edit", "arguments": "{"}
    assert (await browser.post(action, data=broken, headers=ORIGIN)).status_code == 400
    edited = {**fields, "decision": "edit", "arguments": '{"path": "a.txt", "content": "edited"}'}
    assert (await browser.post(action, data=edited, headers=ORIGIN)).status_code == 303
    again = await browser.post(action, data=edited, headers=ORIGIN)
    assert again.status_code == 409
    assert "That did not work" in again.text
    await _settled(system)
    page = (await get(browser, "/inbox")).text
    action = next(form["action"] for form in read(page).forms if form["action"].startswith("/inbox/calls/"))
    fields = {key: value for key, value in form_to(page, action).items() if key != "action"}
    for decision in ("", "yes"):
        assert (await browser.post(action, data={**fields, "decision": decision}, headers=ORIGIN)).status_code == 400
    refused = {**fields, "decision": "refuse", "reason": "not on a <Friday>"}
    assert (await browser.post(action, data=refused, headers=ORIGIN)).status_code == 303
    await _settled(system)
    assert "Nothing waits for you." in (await get(browser, "/inbox")).text
    workspace = system.data.workspace("waits")
    assert {path.name: path.read_text() for path in workspace.iterdir()} == {"a.txt": "edited"}
    assert "not on a <Friday>" in read((await get(browser, "/s/waits/journal")).text).text


async def test_allowed_for_the_session_is_not_asked_again(
    browser: httpx2.AsyncClient, system: System, tmp_path: Path
) -> None:
    """One decision, both calls run; the policy page shows the rule and takes it back."""
    await waiting_call(system, tmp_path)
    page = (await get(browser, "/inbox")).text
    action = next(form["action"] for form in read(page).forms if form["action"].startswith("/inbox/calls/"))
    fields = {key: value for key, value in form_to(page, action).items() if key != "action"}
    await browser.post(action, data={**fields, "decision": "session"}, headers=ORIGIN)
    await _settled(system)
    page = (await get(browser, "/policy")).text
    assert "allowed for this session" in page
    rule = form_to(page, "/policy/rules")
    assert (await browser.post("/policy/rules", data=rule, headers=ORIGIN)).status_code == 303
    assert "allowed for this session" not in (await get(browser, "/policy")).text


async def test_a_payment_is_decided_once(browser: httpx2.AsyncClient, system: System) -> None:
    """Approved on the page: the question is granted; refusing it afterwards is told to be too late; both stand in the list."""
    ticket = await waiting_payment(system)
    action = f"/inbox/payments/{ticket}"
    fields = form_to((await get(browser, "/inbox")).text, action)
    answer = await browser.post(action, data={**fields, "decision": "approve"}, headers=ORIGIN)
    assert answer.status_code == 303
    late = await browser.post(action, data={**fields, "decision": "refuse"}, headers=ORIGIN)
    assert late.status_code == 409
    listed = json.loads((await get(browser, "/inbox/payments?format=json")).text)
    assert [(row["ticket_id"], row["state"], row["by"]) for row in listed] == [(ticket, "granted", "page")]
    assert "Nothing waits for you." in (await get(browser, "/inbox")).text


async def test_memories_are_taken_over_and_forgotten(
    browser: httpx2.AsyncClient, system: System, tmp_path: Path
) -> None:
    """A proposal becomes a memory by one button; a memory is forgotten by another."""
    await something_everywhere(system, tmp_path)
    page = (await get(browser, "/memory/proposals")).text
    action = next(form["action"] for form in read(page).forms if "/proposals/" in form["action"])
    fields = form_to(page, action)
    assert (await browser.post(action, data={**fields, "decision": "commit"}, headers=ORIGIN)).status_code == 303
    memories = json.loads((await get(browser, "/memory?format=json")).text)
    assert len(memories) == 2
    address = f"/memory/{memories[0]['memory_id']}"
    gone = form_to((await get(browser, address)).text, f"{address}/forget")
    assert (await browser.post(f"{address}/forget", data=gone, headers=ORIGIN)).status_code == 303
    assert len(json.loads((await get(browser, "/memory?format=json")).text)) == 1


async def test_verifying_really_looks(browser: httpx2.AsyncClient, system: System, tmp_path: Path) -> None:
    """Everything holds on a sound store; a soul that was changed, and an event that was changed, are found."""
    await something_everywhere(system, tmp_path)
    for path in ("/anima/verify", "/lago/verify", "/system/check"):
        fields = form_to((await get(browser, path)).text, path)
        answer = await browser.post(path, data=fields, headers=ORIGIN)
        assert answer.status_code == 200, path
        if path != "/system/check":
            assert "Everything holds." in answer.text, read(answer.text).text
    soul = system.data.identity / "soul.json"
    kept = soul.read_bytes()
    soul.write_bytes(kept.replace(b"Assist", b"Resist"))
    fields = form_to((await get(browser, "/anima/verify")).text, "/anima/verify")
    answer = await browser.post("/anima/verify", data=fields, headers=ORIGIN)
    assert "Something does not hold." in answer.text
    soul.write_bytes(kept)
    import apsw

    connection = apsw.Connection(str(system.data.journal))
    changed = "CAST(replace(CAST(body AS TEXT), 'Work', 'Play') AS BLOB)"
    connection.execute(f"UPDATE event SET body = {changed} WHERE CAST(body AS TEXT) LIKE '%Work orders%'")
    assert connection.changes() > 0
    connection.close()
    fields = form_to((await get(browser, "/lago/verify")).text, "/lago/verify")
    answer = await browser.post("/lago/verify", data=fields, headers=ORIGIN)
    assert "Something does not hold." in answer.text


async def test_an_agent_is_tried_out(browser: httpx2.AsyncClient, system: System, tmp_path: Path) -> None:
    """The form leads to the session in which it runs."""
    fields = form_to((await get(browser, "/agents/helper")).text, "/agents/helper/try")
    answer = await browser.post("/agents/helper/try", data={**fields, "input": "look"}, headers=ORIGIN)
    assert answer.status_code == 303
    assert (await get(browser, answer.headers["location"])).status_code == 200
    await something_everywhere(system, tmp_path)
    assert "after the next start" in (await get(browser, "/agents/auditor")).text


async def test_model_keys_are_entered_without_script(browser: httpx2.AsyncClient, system: System) -> None:
    """Masked, tried unless told otherwise, sealed, forgotten; the key is on no page and in no error."""
    action, key = "/system/models/keys/anthropic", "sk-test-0123456789-abcdefghij"
    page = (await get(browser, "/system/models")).text
    assert 'type="password"' in page
    fields = {"form_token": form_to(page, action)["form_token"], "key": key}
    assert (await browser.post(action, data={**fields, "key": "a b"}, headers=ORIGIN)).status_code == 400
    assert system.model_keys.key("anthropic") is None
    assert (await browser.post(action, data={**fields, "untested": "yes"}, headers=ORIGIN)).status_code == 303
    page = (await get(browser, "/system/models")).text
    assert "stored" in read(page).text
    assert key not in page
    assert system.model_keys.key("anthropic") == key
    assert (await browser.post(f"{action}/forget", data=fields, headers=ORIGIN)).status_code == 303
    assert system.model_keys.key("anthropic") is None
    unknown = await browser.post("/system/models/keys/nobody", data=fields, headers=ORIGIN)
    assert unknown.status_code == 404
    assert key not in unknown.text


async def _settled(system: System) -> None:
    from tests.host.pages.seeded import settled

    await settled(system, "waits")
