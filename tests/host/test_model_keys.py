"""Keys of model providers: sealed on the disk, tried at the vendor, in force at once; and in nobody else's sight."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ports.journal import EventQuery
from life.aios.record import encode_record
from life.arcan.errors import ProviderKeyMissingError
from life.host.access import Access
from life.host.arcand import open_application
from life.host.errors import (
    ModelKeyMissingError,
    ModelKeyRefusedError,
    ModelKeysUnavailableError,
    ModelTestFailedError,
    ModelVendorUnreachableError,
    TooManyTestsError,
)
from life.host.model_keys import FILE_NAME, MAX_KEY_CHARACTERS, ModelKeys, takes_key
from life.host.model_list import list_models, smallest_model
from life.host.model_test_call import KeyTester
from life.host.settings import ModelSettings, Settings
from life.host.system import System, open_system
from life.testing.clock import ManualClock, SeededEntropy
from tests.arcan.providers.vendor_server import VendorServer

KEY = "sk-test-0123456789-abcdefghijklmnop"
HOST = "127.0.0.1:3000"
TOKEN = "t" * 43


def keys_in(folder: Path, environment: dict[str, str] | None = None, *, sealing: bytes = b"s" * 32) -> ModelKeys:
    return ModelKeys(
        folder / FILE_NAME, lambda: sealing, environment or {}, clock=ManualClock(), entropy=SeededEntropy()
    )


def trial_of(folder: Path, **environment: str) -> KeyTester:
    return KeyTester(keys_in(folder, environment), environment, ManualClock(), SeededEntropy())


async def open_project(folder: Path, **environment: str) -> AsyncIterator[System]:
    told = {"LIFE_KEY_FILE": str(folder / "key" / "identity.key"), **environment}
    async with open_system(folder / "life", settings=Settings(), environment=told) as system:
        yield system


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_key_is_sealed_and_read_again(tmp_path: Path) -> None:
    """Mode 0600, nothing of the key in the file, and another handle with the same seed reads it."""
    keys = keys_in(tmp_path)
    line = keys.store("anthropic", KEY)
    assert (line.source, line.stored, line.readable) == ("stored", True, True)
    content = (tmp_path / FILE_NAME).read_bytes()
    assert KEY.encode() not in content
    assert KEY[8:20].encode() not in content
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert keys_in(tmp_path).key("anthropic") == KEY
    assert keys_in(tmp_path).environment["ANTHROPIC_API_KEY"] == KEY
    for shown in (repr(keys), repr(keys.environment), repr(line), str(list(keys.environment.items()))):
        assert KEY not in shown


def test_the_same_key_is_never_sealed_alike(tmp_path: Path) -> None:
    """Every sealing has a nonce of its own."""
    keys = keys_in(tmp_path)
    sealed = []
    for _ in range(3):
        keys.store("openai", KEY)
        sealed.append(json.loads((tmp_path / FILE_NAME).read_bytes())["keys"][0]["sealed"])
    assert len(set(sealed)) == 3


def test_the_environment_goes_before_a_stored_key(tmp_path: Path) -> None:
    """As with every setting; an empty variable is none, and Gemini's second name counts like its first."""
    keys_in(tmp_path).store("gemini", KEY)
    given = keys_in(tmp_path, {"GOOGLE_API_KEY": "from-outside"})
    assert given.key("gemini") == "from-outside"
    assert given.line("gemini").source == "environment"
    assert given.line("gemini").variable == "GOOGLE_API_KEY"
    assert given.line("gemini").stored
    empty = keys_in(tmp_path, {"GEMINI_API_KEY": ""})
    assert empty.environment["GEMINI_API_KEY"] == KEY
    assert empty.line("gemini").source == "stored"


def test_a_missing_key_is_missing(tmp_path: Path) -> None:
    """Without a file, without an entry: no key, no error; and names that are no keys are looked up as ever."""
    keys = keys_in(tmp_path, {"HOME": "/home/ada"})
    assert keys.key("openai") is None
    assert keys.environment.get("OPENAI_API_KEY") is None
    assert keys.environment["HOME"] == "/home/ada"
    assert "ANTHROPIC_MODEL" not in keys.environment
    assert [line.source for line in keys.lines()] == ["none"] * 4


def test_who_lists_the_environment_finds_no_stored_key(tmp_path: Path) -> None:
    """A process started with a copy of it gets none."""
    keys = keys_in(tmp_path, {"HOME": "/home/ada"})
    keys.store("anthropic", KEY)
    assert dict(keys.environment) == {"HOME": "/home/ada"}
    assert len(keys.environment) == 1


def test_what_another_process_stores_and_forgets_counts_at_once(tmp_path: Path) -> None:
    """The file is the truth; nothing is remembered beyond it."""
    here, there = keys_in(tmp_path), keys_in(tmp_path)
    assert here.key("openai") is None
    there.store("openai", KEY)
    assert here.key("openai") == KEY
    before = here.revision()
    there.forget("openai")
    assert here.key("openai") is None
    assert here.revision() != before
    (tmp_path / FILE_NAME).unlink()
    assert here.key("openai") is None


def test_a_key_under_another_seed_is_told_not_taken(tmp_path: Path) -> None:
    """A restored file beside a new identity: the line says so, its use is an error with the next step, a new key replaces it."""
    keys_in(tmp_path).store("openai", KEY)
    other = keys_in(tmp_path, sealing=b"o" * 32)
    line = other.line("openai")
    assert (line.source, line.stored, line.readable) == ("none", True, False)
    with pytest.raises(ModelKeysUnavailableError) as caught:
        _ = other.environment["OPENAI_API_KEY"]
    assert caught.value.next_step == "Enter it again: life models key set openai"
    other.store("openai", "another")
    assert other.key("openai") == "another"


@pytest.mark.parametrize("field", ["provider", "set_at", "nonce", "sealed"])
def test_an_altered_entry_does_not_open(tmp_path: Path, field: str) -> None:
    """Provider and day are bound to the key: an entry renamed to another vendor sends that vendor nothing."""
    keys_in(tmp_path).store("openai", KEY)
    document = json.loads((tmp_path / FILE_NAME).read_bytes())
    entry = document["keys"][0]
    entry[field] = {
        "provider": "anthropic",
        "set_at": "2020-01-01T00:00:00.000000Z",
        "nonce": "AAAAAAAAAAAAAAAA",
        "sealed": entry["sealed"][:-8] + "AAAAAAA=",
    }[field]
    (tmp_path / FILE_NAME).write_text(json.dumps(document))
    keys = keys_in(tmp_path)
    with pytest.raises(ModelKeysUnavailableError):
        keys.key("anthropic" if field == "provider" else "openai")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version":2,"keys":[]}', b"\xff\xfe", b'{"version":1,"keys":[{}]}']
)
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    """It is neither read as empty nor written over."""
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    acts: list[Callable[[], object]] = [
        lambda: keys_in(tmp_path).key("openai"),
        lambda: keys_in(tmp_path).store("openai", KEY),
    ]
    for act in acts:
        with pytest.raises(ModelKeysUnavailableError, match="not what was written"):
            act()
    assert path.read_bytes() == content


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """The mode is checked before a byte is read (AN-KEY-2)."""
    keys_in(tmp_path).store("openai", KEY)
    (tmp_path / FILE_NAME).chmod(0o644)
    with pytest.raises(ModelKeysUnavailableError, match="other users"):
        keys_in(tmp_path).key("openai")


@pytest.mark.parametrize("key", ["", " ", "sk 1", "sk-1\n", "schlüssel", "sk-\x00", "k" * (MAX_KEY_CHARACTERS + 1)])
def test_what_can_be_no_key_is_refused_unrepeated(tmp_path: Path, key: str) -> None:
    """Empty, too long, with blanks, controls or foreign letters; the message holds nothing of it."""
    with pytest.raises(InvalidInputError) as caught:
        keys_in(tmp_path).store("openai", key)
    assert len(key) < 3 or key.strip() not in caught.value.message
    assert not (tmp_path / FILE_NAME).exists()


def test_only_known_providers_have_keys(tmp_path: Path) -> None:
    """Another name is not found; it is not repeated either, for somebody may have put the key there."""
    acts: list[Callable[[], object]] = [
        lambda: keys_in(tmp_path).store(KEY, KEY),
        lambda: keys_in(tmp_path).forget(KEY),
    ]
    for act in acts:
        with pytest.raises(NotFoundError) as caught:
            act()
        assert KEY not in caught.value.message


def test_which_specifications_look_for_keys() -> None:
    """Scripts and recordings' replays do not; whatever may ask a vendor does, also within a recording or a chain."""
    assert not takes_key("scripted")
    assert not takes_key("scripted:a.toml")
    assert not takes_key("replay:a.jsonl")
    assert takes_key("anthropic")
    assert takes_key("scripted, openai:gpt-5")
    assert takes_key("record:a.jsonl=gemini")
    assert takes_key("tier:small")


# --- at the vendor ------------------------------------------------------------------------------------------------------


async def test_a_key_is_tried_with_one_short_call(tmp_path: Path) -> None:
    """One request with this key, sixteen tokens at most, and the first piece of the answer is enough."""
    async with VendorServer("anthropic") as vendor:
        tested = await trial_of(tmp_path, ANTHROPIC_BASE_URL=vendor.url).test("anthropic", key=KEY)
    assert tested.model == "anthropic:claude-sonnet-5-5"
    assert len(vendor.requests) == 1
    assert vendor.requests[0]["max_tokens"] == 16
    assert vendor.headers[0]["authorization"] == f"Bearer {KEY}"


async def test_the_key_that_is_tried_is_the_one_that_was_given(tmp_path: Path) -> None:
    """Neither the environment's nor the stored one answers for it."""
    async with VendorServer("openai") as vendor:
        trial = trial_of(tmp_path, OPENAI_BASE_URL=f"{vendor.url}/v1", OPENAI_API_KEY="from-outside")
        await trial.test("openai", key=KEY)
        await trial.test("openai")
    assert [headers["authorization"] for headers in vendor.headers] == [f"Bearer {KEY}", "Bearer from-outside"]


async def test_a_key_for_an_address_of_ones_own(tmp_path: Path) -> None:
    """`compatible` is tried at the address in the model's name; without a model nobody knows whom to ask."""
    async with VendorServer("openai") as vendor:
        trial = trial_of(tmp_path)
        await trial.test("compatible", key=KEY, model=f"llama@{vendor.url}/v1")
        with pytest.raises(InvalidInputError):
            await trial.test("compatible", key=KEY)
    assert vendor.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("scene", "error"),
    [
        ("unauthorized", ModelKeyRefusedError),
        ("rejected", ModelTestFailedError),
        ("rate_limited", ModelTestFailedError),
        ("unavailable", ModelTestFailedError),
    ],
)
async def test_what_the_vendor_says_is_told_without_the_key(tmp_path: Path, scene: str, error: type[Exception]) -> None:
    """A refused key, no credit, a fault of the vendor: an error of its own each, without the key that the vendor repeats."""
    async with VendorServer("anthropic") as vendor:
        vendor.play(scene)
        with pytest.raises(error) as caught:
            await trial_of(tmp_path, ANTHROPIC_BASE_URL=vendor.url).test("anthropic", key=KEY)
    assert len(vendor.requests) == 1, "a test is one call"
    assert KEY not in f"{caught.value!r} {vars(caught.value)}"


async def test_a_vendor_that_does_not_answer(tmp_path: Path) -> None:
    """Nobody listens: not a word about the key being wrong, and it may be tried again."""
    with pytest.raises(ModelVendorUnreachableError) as caught:
        await trial_of(tmp_path, ANTHROPIC_BASE_URL="http://127.0.0.1:9").test("anthropic", key=KEY)
    assert caught.value.retryable


async def test_a_key_goes_to_its_own_vendor_only(tmp_path: Path) -> None:
    """A model of somebody else, or at another address, is refused before anything is sent."""
    async with VendorServer("openai") as vendor:
        trial = trial_of(tmp_path)
        for model in (
            "openai:gpt-5",
            f"anthropic:claude@{vendor.url}",
            f"llama@{vendor.url}/v1",
            "scripted",
            "tier:small",
        ):
            with pytest.raises(InvalidInputError):
                await trial.test("anthropic", key=KEY, model=model)
        assert vendor.requests == []


async def test_tests_are_counted(tmp_path: Path) -> None:
    """Ten a minute: the route is no way to try keys by the thousand."""
    async with VendorServer("anthropic") as vendor:
        vendor.play("unauthorized")
        trial = trial_of(tmp_path, ANTHROPIC_BASE_URL=vendor.url)
        for _ in range(10):
            with pytest.raises(ModelKeyRefusedError):
                await trial.test("anthropic", key=KEY)
        with pytest.raises(TooManyTestsError):
            await trial.test("anthropic", key=KEY)
        assert len(vendor.requests) == 10


async def test_without_a_key_nothing_is_asked(tmp_path: Path) -> None:
    """The next step names the command."""
    with pytest.raises(ModelKeyMissingError) as caught:
        await trial_of(tmp_path).test("gemini")
    assert caught.value.next_step == "life models key set gemini"


# --- the list -----------------------------------------------------------------------------------------------------------


async def test_models_have_the_tables_prices_or_none(tmp_path: Path) -> None:
    """The operator's prices go first and have no day; an unknown model's price is null, not nothing."""
    settings = Settings(model=ModelSettings(provider="anthropic:claude-unheard-of", prices=("claude-haiku-4-5=7/8",)))
    closed = {"OLLAMA_BASE_URL": "http://127.0.0.1:9"}
    models = {line.id: line for line in await list_models(settings, keys_in(tmp_path, closed))}
    assert models["scripted"].ready
    haiku = models["anthropic:claude-haiku-4-5"]
    assert (haiku.input_micro_per_mtok, haiku.output_micro_per_mtok, haiku.priced_on) == (7, 8, None)
    sonnet = models["anthropic:claude-sonnet-5-5"]
    assert sonnet.input_micro_per_mtok == 2_000_000
    assert sonnet.priced_on == "2026-10-24"
    assert sonnet.is_default
    unheard = models["anthropic:claude-unheard-of"]
    assert (unheard.input_micro_per_mtok, unheard.output_micro_per_mtok) == (None, None)
    assert (sonnet.ready, sonnet.why_code) == (False, "key_missing")
    assert (models["ollama"].ready, models["ollama"].why_code) == (False, "not_reachable")
    keys_in(tmp_path).store("anthropic", KEY)
    again = {line.id: line for line in await list_models(settings, keys_in(tmp_path, closed))}
    assert again["anthropic:claude-sonnet-5-5"].ready
    assert list(again)[1].startswith("anthropic:"), "the default's vendor comes first"
    assert smallest_model("anthropic") == "anthropic:claude-haiku-5-5"


async def test_a_local_servers_models_are_those_it_names(tmp_path: Path) -> None:
    """What it says is data: names that can be no specification are left out, and a list that is none is no answer."""
    import http.server
    import threading

    answers = [json.dumps({"data": [{"id": "llama3.2"}, {"id": "a,b"}, {"id": "\x1b[2J"}]}).encode(), b'{"data": 7}']

    class Local(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            body = answers[0]
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Local)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        where = {"OLLAMA_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1"}
        models = [each for each in await list_models(Settings(), keys_in(tmp_path, where)) if each.provider == "ollama"]
        assert [(each.id, each.ready) for each in models] == [("ollama:llama3.2", True)]
        answers.pop(0)
        models = [each for each in await list_models(Settings(), keys_in(tmp_path, where)) if each.provider == "ollama"]
        assert [(each.id, each.ready) for each in models] == [("ollama", False)]
    finally:
        server.shutdown()
        server.server_close()


# --- in a running system ------------------------------------------------------------------------------------------------


async def test_a_key_counts_in_a_running_system_and_no_longer_when_forgotten(tmp_path: Path) -> None:
    """No restart: a session is refused its model, then gets it, then fails when the key is gone; the journal never holds the key."""
    async with VendorServer("anthropic") as vendor:
        async for system in open_project(tmp_path, ANTHROPIC_BASE_URL=vendor.url):
            with pytest.raises(ProviderKeyMissingError):
                await system.runtime.create_session("s", provider="anthropic")
            system.model_keys.store("anthropic", KEY)
            await system.runtime.create_session("s", provider="anthropic")
            report = await system.runtime.run("s", "hello")
            assert report.reason == "completed"
            system.model_keys.store("anthropic", KEY + "-new")
            await system.runtime.run("s", "again")
            assert [headers["authorization"] for headers in vendor.headers] == [f"Bearer {KEY}", f"Bearer {KEY}-new"]
            system.model_keys.forget("anthropic")
            report = await system.runtime.run("s", "and now?")
            assert report.reason == "error"
            assert len(vendor.headers) == 2
            written = b"".join(encode_record(each) for each in await system.journal.read(EventQuery(), limit=5000))
            assert KEY.encode() not in written
            assert KEY not in repr(system)
    for path in (tmp_path / "life").rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


async def test_an_identity_that_was_rotated_reads_its_keys(tmp_path: Path) -> None:
    """The sealing key follows from the wallet's seed, so another process with the same identity opens what this one sealed."""
    async for system in open_project(tmp_path):
        system.model_keys.store("openai", KEY)
    async for system in open_project(tmp_path):
        assert system.model_keys.key("openai") == KEY


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """The daemon's application with the operator's token, and a vendor behind it."""
    async with VendorServer("anthropic") as vendor:
        closed = {"OLLAMA_BASE_URL": "http://127.0.0.1:9"}
        async for system in open_project(tmp_path, ANTHROPIC_BASE_URL=vendor.url, **closed):
            access = Access(TOKEN, system.clock, SeededEntropy())
            async with (
                open_application(system, access, TOKEN, hosts=[HOST], environment={}) as app,
                httpx2.AsyncClient(
                    transport=httpx2.ASGITransport(app),
                    base_url=f"http://{HOST}",
                    headers={"authorization": f"Bearer {TOKEN}"},
                ) as http,
            ):
                http.vendor = vendor  # type: ignore[attr-defined]
                yield http


async def test_the_routes_store_test_and_forget(client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """PUT tries and seals; GET tells how it stands; DELETE takes it away, and again changes nothing. No answer holds the key."""
    caplog.set_level(logging.DEBUG)
    told = []
    put = await client.put("/workspace/keys/anthropic", json={"key": KEY})
    told.append(put.text)
    body = put.json()
    assert put.status_code == 200
    assert (body["source"], body["tested"], body["shadowed"]) == ("stored", True, False)
    listing = await client.get("/workspace/keys")
    told.append(listing.text)
    assert listing.json()["can_store"]
    assert [each["source"] for each in listing.json()["keys"]] == ["stored", "none", "none", "none"]
    models = await client.get("/workspace/models")
    told.append(models.text)
    assert next(each for each in models.json()["models"] if each["provider"] == "anthropic")["ready"]
    assert models.json()["default"] == "scripted"
    tested = await client.post("/workspace/keys/anthropic/test", json={})
    told.append(tested.text)
    assert tested.json()["provider"] == "anthropic"
    for _ in range(2):
        gone = await client.delete("/workspace/keys/anthropic")
        assert gone.json() == {"provider": "anthropic", "source": "none", "set_at": None}
    assert (await client.post("/workspace/keys/anthropic/test", json={})).status_code == 409
    assert KEY not in "".join(told)
    assert KEY not in caplog.text


async def test_a_refused_key_is_not_stored(client: httpx2.AsyncClient) -> None:
    """422 with the code; the key that was there stays."""
    assert (await client.put("/workspace/keys/anthropic", json={"key": KEY})).status_code == 200
    client.vendor.play("unauthorized")  # type: ignore[attr-defined]
    refused = await client.put("/workspace/keys/anthropic", json={"key": "sk-wrong-one-here"})
    assert (refused.status_code, refused.json()["code"]) == (422, "host.model_key_refused")
    assert "sk-wrong" not in refused.text
    untested = await client.put("/workspace/keys/anthropic", json={"key": "sk-wrong-one-here", "test": False})
    assert (untested.status_code, untested.json()["tested"]) == (200, False)


@pytest.mark.parametrize(
    "body",
    [
        f'{{"{KEY}": 1}}',
        f'{{"key": 7, "x": "{KEY}"}}',
        f'"{KEY}"',
        f'{{"key": "{KEY}',
        f'{{"key":"{KEY} x"}}',
        KEY * 300,
    ],
)
async def test_what_does_not_fit_is_not_repeated(client: httpx2.AsyncClient, body: str) -> None:
    """Unknown fields, other types, half a document: 400 without a word of it."""
    answer = await client.put("/workspace/keys/anthropic", content=body.encode())
    assert answer.status_code == 400
    assert KEY[:12] not in answer.text


async def test_strangers_and_other_pages_get_nothing(client: httpx2.AsyncClient) -> None:
    """Without token or login 401; with the login but from another page 403."""
    for method, path in (("GET", "/workspace/keys"), ("PUT", "/workspace/keys/openai"), ("GET", "/workspace/models")):
        answer = await client.request(method, path, headers={"authorization": ""})
        assert answer.status_code == 401
    link = (await client.post("/login-links")).json()["path"]
    cookie = (await client.get(link)).headers["set-cookie"].split(";")[0]
    forged = await client.put(
        "/workspace/keys/openai",
        json={"key": KEY, "test": False},
        headers={"authorization": "", "cookie": cookie, "origin": "http://evil.example"},
    )
    assert forged.status_code == 403
    rebound = await client.get("/workspace/keys", headers={"host": "evil.example:3000"})
    assert rebound.status_code == 403
    assert (await client.get("/workspace/keys")).json()["keys"][1]["source"] == "none"
