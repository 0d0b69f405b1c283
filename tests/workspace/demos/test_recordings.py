"""The committed recordings: of these very demos, complete, and replayed byte for byte without a provider (WS-DEMO-6, WS-REP-4)."""

from __future__ import annotations

import hashlib
import re

import msgspec
import pytest

from life.aios.record import EventRecord
from life.arcan.providers.opening import ProviderOpener
from life.arcan.providers.scripted import ScriptedProvider
from life.arcan.replay import parse_recording
from life.host.demos.files import contents_file, read_contents, read_lines
from life.host.demos.recordings import load_recording
from life.praxis.egress import EgressClient
from life.testing.replay import replays
from life.workspace.demos.catalogue import SLUGS, demo, recording, recording_id
from life.workspace.demos.expects import empty_panels, unmet
from life.workspace.fold import advance, fold
from life.workspace.state import State, digest
from life.workspace.values import fields_of, text
from tests.workspace.page_fold import page_digests

MOST_BYTES = 300_000


def parts(slug: str) -> tuple[list[EventRecord], list[EventRecord]]:
    """The session's events and the wallets'."""
    records = read_lines(recording(slug))
    own = [record for record in records if record.session_id == recording_id(slug)]
    return own, [record for record in records if record.session_id.startswith("wallet:")]


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_recording_replays_byte_for_byte_and_asks_nobody(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request that the loop makes from the events alone has the recorded bytes; whatever would construct a provider or a client
    fails the test, so the number of provider calls is none."""

    def touched(*_: object, **__: object) -> object:
        raise AssertionError("Somebody was asked.")

    for part, name in (
        (ProviderOpener, "__init__"),
        (ProviderOpener, "__call__"),
        (ScriptedProvider, "__init__"),
        (ScriptedProvider, "stream"),
        (EgressClient, "__init__"),
    ):
        monkeypatch.setattr(part, name, touched)
    report = await replays(recording(slug))
    header = parse_recording(recording(slug).read_bytes().splitlines()).header
    assert report.difference is None
    assert report.requests == header.requests
    assert (
        report.model_calls == len(header.requests) == len(demo(slug).script[demo(slug).ui.suggestions[0].script].turns)
    )
    assert {tool.name for tool in header.tools} == set(demo(slug).tools)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_recording_is_of_this_demo_as_it_is(slug: str) -> None:
    """Its session is named after the demo's files, so a changed script without a new recording is red: `life demo record`."""
    own, _ = parts(slug)
    assert own, f"Record {slug} anew: life demo record {slug} {recording(slug)}"
    assert [record.sequence for record in own] == list(range(1, len(own) + 1))
    assert own[-1].kind_name == "SessionClosed"


@pytest.mark.parametrize("slug", SLUGS)
def test_every_claimed_panel_is_filled_and_every_promise_kept(slug: str) -> None:
    """The page's own fold has something to draw in each panel that the demo claims (WS-DEMO-7)."""
    own, money = parts(slug)
    assert empty_panels(demo(slug).panels, fold(own), fold(money)) == []
    assert unmet(demo(slug).expects, demo(slug).panels, own, money) == []


def test_together_they_show_what_they_are_for() -> None:
    """A failing and recovered tool, a diff, a refused approval, an automatic, an approved and a denied payment, a ruling, a compaction, a
    judge's warning, a hired peer and offered branches (WS-DEMO-8)."""
    states = {slug: fold(parts(slug)[0]) for slug in SLUGS}
    money = {slug: fold(parts(slug)[1]) for slug in SLUGS}
    assert any(entry.state == "error" for entry in states["refactor"].entries)
    assert any(file.op != "delete" and file.count > 1 for file in states["refactor"].files)
    assert [one.decision for one in states["sentinel"].decisions] == ["denied"]
    assert [one.decision for one in states["refactor"].decisions] == ["approved"]
    assert [one.decision for one in states["research"].decisions] == ["approved", "approved"]
    assert [row.state for row in money["materiales"].payments] == ["settled"] * 3
    assert "settled" in [row.state for row in money["sentinel-pro"].payments]
    assert {"settled", "declined"} <= {row.state for row in money["research"].payments}
    assert any(row.type == "arcan.regulated" for row in states["materiales"].rulings)
    assert states["research"].totals.compactions == 1
    assert "warning" in {score.label for score in states["research"].scores if score.timing == "async"}
    assert [(hire.name, hire.state, hire.paid_micro) for hire in states["research"].hires] == [("lex", "paid", 20_000)]
    assert all(states[slug].offers for slug in ("sentinel", "refactor"))


@pytest.mark.part("node")
def test_the_page_folds_the_recordings_as_python_does() -> None:
    """After every event of every recording the page's fold has the state that Python's has, digest for digest (WS-EVT-9)."""
    streams = [one for slug in SLUGS for one in parts(slug) if one]
    for records, found in zip(streams, page_digests(streams), strict=True):
        state = State()
        for record, told in zip(records, found, strict=True):
            advance(state, record)
            assert digest(state) == told, (record.session_id, record.sequence)


@pytest.mark.parametrize("slug", SLUGS)
async def test_the_chain_of_digests_holds(slug: str) -> None:
    """Appended to an empty journal, the session's events get the very digests that the file has."""
    own, _ = parts(slug)
    journal = await load_recording(recording(slug))
    head = await journal.head(own[-1].stream)
    assert (head.sequence, head.digest) == (len(own), own[-1].digest)


@pytest.mark.parametrize("slug", SLUGS)
def test_contents_are_those_that_the_events_name(slug: str) -> None:
    """Every hash of a written file has its content beside the recording, and every content its hash."""
    stored = msgspec.json.decode(contents_file(recording(slug)).read_bytes(), type=dict[str, str])
    contents = {hashlib.sha256(content).hexdigest() for content in read_contents(recording(slug))}
    named = {
        text(fields_of(record.payload).get("blob_hash")) for record in parts(slug)[0] if record.kind_name == "FileWrite"
    }
    assert set(stored) == contents
    assert named <= contents


@pytest.mark.parametrize("slug", SLUGS)
def test_a_recording_is_small_and_gives_nothing_away(slug: str) -> None:
    """No signature, no path of the machine that made it, no more than 300 KB."""
    content = recording(slug).read_bytes() + contents_file(recording(slug)).read_bytes()
    assert len(content) <= MOST_BYTES
    assert b"finance.payment_signed" not in content
    assert b'"signature"' not in content
    assert not re.search(rb"/(home|root|tmp|work|Users)/[a-z]", content)


def test_what_is_missing_is_said() -> None:
    """Without its events no promise holds and no panel is filled: the checks can fail."""
    own, money = parts("research")
    wanted = demo("research")
    problems = unmet(wanted.expects, wanted.panels, own[:1])
    assert sum(problem.startswith("The panel") for problem in problems) >= 8
    assert len(problems) > 20
    assert any("were settled, not 1 of 20000" in problem for problem in unmet(wanted.expects, wanted.panels, own))
    without = [record for record in own if record.kind_name != "ContextCompacted"]
    assert unmet(wanted.expects, wanted.panels, without, money) == ["The context was shortened 0 times, not 1."]
