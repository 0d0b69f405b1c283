"""The demos' files: their schema, what holds them together, their seeds (WS-DEMO-1, WS-DEMO-4)."""

from __future__ import annotations

import json
import tomllib

import jsonschema
import msgspec
import pytest

from life.arcan.providers.pricing import price_table
from life.workspace.demos.catalogue import DATA, FILES, SCHEMA, SLUGS, demo, demos, parse_demo, recording_id, seed_files
from life.workspace.demos.demo import Demo
from life.workspace.demos.errors import DemoDataError, DemoNotFoundError


def source(slug: str) -> str:
    return (DATA / f"{slug}.toml").read_text()


def test_there_are_six_in_their_order() -> None:
    """The names of June first, then the stories of April; every file is one of them."""
    assert SLUGS == ("sentinel", "materiales", "sentinel-pro", "refactor", "ingest", "research")
    assert [each.slug for each in demos()] == list(SLUGS)
    assert {path.stem for path in DATA.iterdir()} == set(SLUGS)
    assert {each.ui.chip for each in demos()} == {"emerald", "amber", "violet", "blue", "rose"}


@pytest.mark.parametrize("slug", SLUGS)
def test_every_file_fits_the_committed_schema(slug: str) -> None:
    """The JSON Schema beside the files is what they are checked by, also by others' tools."""
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(tomllib.loads(source(slug)))


def test_the_schema_is_that_of_the_struct() -> None:
    """Nobody changes one without the other. Make it anew with `msgspec.json.schema(Demo)`."""
    written = json.loads(SCHEMA.read_text())
    assert written.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert written.pop("title") == "A demo of Life"
    assert written == json.loads(json.dumps(msgspec.json.schema(Demo)))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('slug = "sentinel"', 'slug = "other"', "calls itself other"),
        ('slug = "sentinel"', 'slug = "sentinel"\nsurprise = 1', "unknown field `surprise`"),
        ('language = "en"', 'language = "fr"', "Invalid enum value 'fr'"),
        ('script = "closure"', 'script = "nowhere"', "no script 'nowhere'"),
        ("{{report.bytes|n}}", "{{nothing.bytes}}", "calls that it does not name: nothing"),
        ('{ tool = "grep"', '{ tool = "bash"', "does not have: bash"),
        ("otherwise = 0.91", "otherwise = 1.91", "Expected `float` <= 1"),
        ('script = "signs"', 'script = "signs', "does not fit"),
        (
            'prompt = "Name three signs of follow-up risk in these orders."',
            'prompt = "Audit this week\'s five work orders and write report.md."',
            "the same words",
        ),
    ],
)
def test_what_does_not_fit_is_said(old: str, new: str, words: str) -> None:
    """A file with one mistake is refused, and the sentence names it."""
    content = source("sentinel")
    assert old in content
    with pytest.raises(DemoDataError, match=r"The demo sentinel does not fit") as caught:
        parse_demo(content.replace(old, new, 1), "sentinel")
    assert words in caught.value.message


def test_a_turn_must_say_or_do_something() -> None:
    """An empty turn, and a script that ends with a call, can't be played."""
    content = source("sentinel")
    begin = content.index("[[script.closure.turns]]")
    with pytest.raises(DemoDataError, match="neither says nor does"):
        parse_demo(f"{content[:begin]}[[script.closure.turns]]\ndelay_ms = 1\n\n{content[begin:]}", "sentinel")
    ends = content.index("[[script.closure.turns]]", begin + 10)
    after = content.index("# --- three signs")
    with pytest.raises(DemoDataError, match="ends with a call"):
        parse_demo(content[:ends] + content[after:], "sentinel")


@pytest.mark.parametrize("slug", SLUGS)
def test_seeds_prices_and_answers_are_there(slug: str) -> None:
    """Every seed file exists and no file lies about unused; the price table knows the model; stand-ins say that they are simulated."""
    found = demo(slug)
    assert set(seed_files(found)) == set(found.seed_files)
    assert price_table().rates(found.priced_as.vendor, found.priced_as.model) is not None
    for fixture in found.fixtures:
        words = json.dumps(fixture.body, ensure_ascii=False) + fixture.says
        assert "simulat" in words or "simulad" in words
    folder = FILES / slug
    on_disk = {str(path.relative_to(folder)).removesuffix(".seed") for path in folder.rglob("*") if path.is_file()}
    assert on_disk == (set() if found.seeds_of else set(found.seed_files))


def test_the_ids_of_recordings_follow_from_the_files() -> None:
    """Different demos, different ids; the same files, the same id."""
    ids = [recording_id(slug) for slug in SLUGS]
    assert len(set(ids)) == len(ids)
    assert ids == [recording_id(slug) for slug in SLUGS]


@pytest.mark.parametrize("slug", ["", "Sentinel", "../sentinel", "sentinel.toml", "nothing"])
def test_other_names_are_not_found(slug: str) -> None:
    """Nothing but the six names opens a file."""
    with pytest.raises(DemoNotFoundError):
        demo(slug)
