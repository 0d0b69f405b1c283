"""Knowledge: queries, one changed note, and a first look at 50,000 notes, against plain FTS5 in the same run.

Notes have about 150 words drawn from 30,000 with the frequencies of a language, and five links each, most of them to few notes. Queries have
one to four words that 25 to 2,500 notes hold. `plain FTS5` asks the same words of the same texts in one table: OR, ORDER BY bm25, the
ten best with their bodies. It knows nothing of names, tags, links and sources. `first look` is notes per second from a folder to a file that can be
asked; `plain insert` puts the same texts into the plain table, already read. Goals: a query p50 < 10 ms, one changed note < 5 ms.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
from measure import Claim, arguments, interleaved, report

from life.aios.events import FileWrite
from life.aios.record import EventWriter, NewEvent, Stream
from life.host.clock import SystemClock, SystemEntropy
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.journal.sqlite import SqliteJournal
from life.lago.knowledge.directory import DirectoryNotes
from life.lago.knowledge.vault import Vault
from life.lago.knowledge.vaults import Vaults

VOCABULARY = [f"word{number}" for number in range(30_000)]
WEIGHTS = list(itertools.accumulate(1 / (number + 10) for number in range(len(VOCABULARY))))
SESSION = "vault:bench"


def note(random_: random.Random, number: int, count: int) -> str:
    """One note's text."""
    links = " ".join(f"[[note{int(random_.random() ** 2 * count)}]]" for _ in range(5))
    lines = (" ".join(random_.choices(VOCABULARY, cum_weights=WEIGHTS, k=15)) for _ in range(10))
    return f"---\ntitle: Note {number}\ntags: [a{number % 50}]\n---\n" + "\n".join(lines) + f"\n{links}\n"


def write_folder(folder: Path, count: int) -> list[str]:
    """The notes as files, a hundred folders of them; their texts."""
    random_ = random.Random(1)
    texts = []
    for number in range(count):
        (folder / f"f{number % 100}").mkdir(parents=True, exist_ok=True)
        texts.append(note(random_, number, count))
        (folder / f"f{number % 100}" / f"note{number}.md").write_text(texts[-1])
    return texts


def queries(count: int) -> list[str]:
    """What is asked."""
    random_ = random.Random(2)
    return [" ".join(random_.choices(VOCABULARY[300:10_000], k=random_.randint(1, 4))) for _ in range(count)]


class PlainTable:
    """What one would write with FTS5 alone."""

    def __init__(self, path: Path, texts: list[str]) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.pragma("journal_mode", "wal")
        self._connection.execute("CREATE VIRTUAL TABLE plain USING fts5(text)")
        began = time.perf_counter()
        with self._connection:
            self._connection.executemany("INSERT INTO plain VALUES (?)", ((text,) for text in texts))
        self.inserted_per_s = len(texts) / (time.perf_counter() - began)

    def ask(self, query: str) -> None:
        """The ten best."""
        words = " OR ".join(f'"{word}"' for word in query.split())
        self._connection.execute(
            "SELECT rowid, text FROM plain WHERE plain MATCH ? ORDER BY bm25(plain) LIMIT 10", (words,)
        ).fetchall()


def middle(times: list[float]) -> float:
    """The median, in milliseconds."""
    return statistics.median(times) * 1000


def timed(questions: list[str], ask: Callable[[str], object]) -> float:
    """p50 of a question, milliseconds."""
    times = []
    for question in questions:
        began = time.perf_counter()
        ask(question)
        times.append(time.perf_counter() - began)
    return middle(times)


async def timed_async(questions: list[str], ask: Callable[[str], Awaitable[object]]) -> float:
    """p50 of a question, milliseconds."""
    times = []
    for question in questions:
        began = time.perf_counter()
        await ask(question)
        times.append(time.perf_counter() - began)
    return middle(times)


async def first_look(vault: Vault, count: int) -> float:
    """Notes per second."""
    began = time.perf_counter()
    report_ = await vault.sync(rebuild=True)
    if report_.read != count:
        raise SystemExit(f"{report_.read} of {count} notes were read")
    return count / (time.perf_counter() - began)


async def changes(root: Path, count: int, rounds: int) -> tuple[float, float, float]:
    """A session of `count` notes: notes per second of the first look, then milliseconds from an event to the index that has it, and
    of a question after it, looking included (medians)."""
    clock, entropy = SystemClock(), SystemEntropy()
    blobs = BlobStore(DirectoryObjects(root / "blobs", entropy), entropy)
    random_ = random.Random(3)
    writer = EventWriter(clock, entropy, agent_id="bench", stream=Stream(SESSION))

    async def written(number: int) -> NewEvent:
        info = await blobs.put(note(random_, number, count).encode())
        kind = FileWrite(path=f"/f{number % 100}/note{number}.md", blob_hash=info.hash, size_bytes=info.size_bytes)
        return writer.event(kind)

    async with SqliteJournal.open(root / "journal.db", clock=clock, verify=False) as journal:
        vaults = Vaults(journal, blobs, clock, folder=root / "index")
        for start in range(0, count, 500):
            await journal.append([await written(number) for number in range(start, min(start + 500, count))])
        vault = await vaults.vault(SESSION)
        looked = await first_look(vault, count)
        updates, asked = [], []
        for question in queries(rounds):
            await journal.append([await written(random_.randrange(count))])
            began = time.perf_counter()
            await vault.sync()
            updates.append(time.perf_counter() - began)
            began = time.perf_counter()
            await vault.search(question)
            asked.append(time.perf_counter() - began)
        await vaults.aclose()
    return looked, middle(updates), middle(asked)


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    count = 5_000 if options.quick else 50_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, asyncio.Runner() as runner:
        root = Path(name)
        texts = write_folder(root / "vault", count)
        vault = Vault(
            DirectoryNotes(root / "vault", SystemClock()),
            SystemClock(),
            index_file=root / "index.db",
            looks_first=False,
        )
        looked = runner.run(first_look(vault, count))
        plain = PlainTable(root / "plain.db", texts)
        questions = queries(100)
        results = interleaved(
            {
                "query": lambda: runner.run(timed_async(questions, vault.search)),
                "plain FTS5": lambda: timed(questions, plain.ask),
                "goal": lambda: 10.0,
            },
            rounds=options.rounds,
        )
        rescans = interleaved({"rescan": lambda: runner.run(rescan(vault))}, rounds=options.rounds)
        runner.run(vault.aclose())
        size = (root / "index.db").stat().st_size / sum(len(text) for text in texts)
        journal_look, update, asked = runner.run(changes(root, count, 100))
    print(f"{count} notes of about 150 words; the index takes {size:.2f} of their text")
    print(f"  first look at a folder: {looked:,.0f} notes/s; plain insert {plain.inserted_per_s:,.0f} notes/s")
    print(f"  first look at a session: {journal_look:,.0f} notes/s")
    status = report(
        results,
        "ms (p50)",
        [Claim("query p50 within 10 ms", "query", "goal", at_most=1.0), Claim("query", "query", "plain FTS5")],
    )
    status |= report(rescans, "ms", [])
    update_results = {"one changed note": [update], "question after it": [asked], "goal of 5 ms": [5.0]}
    return status | report(
        update_results, "ms (p50)", [Claim("one changed note", "one changed note", "goal of 5 ms", at_most=1.0)]
    )


async def rescan(vault: Vault) -> float:
    """A look at a folder where nothing is new, milliseconds."""
    began = time.perf_counter()
    await vault.sync()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
