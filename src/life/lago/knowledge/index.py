"""The index of one vault on one branch: an SQLite file that can be thrown away (lago.md §13, "Required").

    note       number, path, version, hash, sequence, time, frontmatter, links, tags, claim, valid_to
    body       number, text
    vector     number, content hash, model, 32-bit floats; only where a model for embeddings is given
    words      FTS5 over "name body"
    problem    files that can't be read as notes, and why
    meta       the source's cursor

Links, names and tags are kept in memory beside it. The cursor moves in the transaction that stores what came before it, so a crash
costs at most a second look. A file that is damaged or of another format is made anew; one of another program is left alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import apsw
import msgspec

from life.aios.json import JsonObject
from life.lago.knowledge.errors import KnowledgeIndexError
from life.lago.knowledge.file import explain, open_file
from life.lago.knowledge.graph import NoteGraph
from life.lago.knowledge.links import note_name
from life.lago.knowledge.note import Note
from life.lago.knowledge.source import Changes, NoteFile, Removed, RemovedBelow
from life.lago.knowledge.text import fold
from life.lago.knowledge.words import Words

APPLICATION_ID: Final = 0x4C4B4E57
FORMAT: Final = 1

_TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE note (
  no INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE,
  version TEXT NOT NULL,
  hash TEXT NOT NULL,
  seq INTEGER NOT NULL,
  updated_us INTEGER NOT NULL,
  frontmatter TEXT,
  links TEXT NOT NULL,
  tags TEXT NOT NULL,
  title TEXT NOT NULL,
  claim TEXT NOT NULL,
  valid_to TEXT NOT NULL
);
CREATE TABLE body (no INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE vector (no INTEGER PRIMARY KEY, hash TEXT NOT NULL, model TEXT NOT NULL, parts BLOB NOT NULL);
CREATE TABLE problem (path TEXT PRIMARY KEY, version TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;
"""
_UPSERT: Final = (
    "INSERT INTO note (no, path, version, hash, seq, updated_us, frontmatter, links, tags, title, claim, valid_to)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
    " version = excluded.version, hash = excluded.hash, seq = excluded.seq, updated_us = excluded.updated_us,"
    " frontmatter = excluded.frontmatter, links = excluded.links, tags = excluded.tags, title = excluded.title,"
    " claim = excluded.claim, valid_to = excluded.valid_to"
)
_decode_texts: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_object: Final = msgspec.json.Decoder(dict[str, Any]).decode

Row: TypeAlias = tuple[Any, ...]
"""What the engine gives back for a row; SQLite has no types that a checker could follow."""


class StoredNote(NamedTuple):
    """What is kept in memory of a note."""

    number: int
    path: str
    version: str
    blob_hash: str
    sequence: int
    updated_at_us: int
    tags: tuple[str, ...]


class ReadNote(NamedTuple):
    """A note that was read and parsed."""

    file: NoteFile
    blob_hash: str
    note: Note


class Problem(msgspec.Struct, frozen=True):
    """A file that is no note that can be read, or whose frontmatter can't (then the rest of it is indexed)."""

    path: str
    reason: str


class Unread(NamedTuple):
    """A file that could not be read as a note."""

    file: NoteFile
    reason: str


class Plan(NamedTuple):
    """What a change means for this index."""

    read: tuple[NoteFile, ...]
    """New contents."""
    touched: tuple[NoteFile, ...]
    """The content is known; its event or time is new."""
    removed: tuple[str, ...]


NOTHING: Final = Plan((), (), ())


class Claim(NamedTuple):
    """What lint and the catalogue need of a note."""

    number: int
    title: str
    claim: str
    valid_to: str
    tags: tuple[str, ...]


class NoteIndex:
    """Notes, words and links of one vault. Not for two threads at once."""

    def __init__(self, path: Path | None) -> None:
        """`path`: the file, made (mode 0600) when it is not there; None keeps all of it in memory. KnowledgeIndexError."""
        self._path = path
        self.graph = NoteGraph()
        self.notes: dict[int, StoredNote] = {}
        self.names: dict[str, set[int]] = {}
        """Word of a name to the notes that have it."""
        self.tags: dict[str, set[int]] = {}
        """Tag, folded, to the notes that have it."""
        self._problems: dict[str, tuple[str, str]] = {}
        self._data_version = -1
        self._connection = open_file(path, application_id=APPLICATION_ID, format=FORMAT, tables=_TABLES)
        try:
            self._words = Words(self._connection)
            self._load()
        except apsw.Error as error:
            self._connection.close()
            raise self._explain(error) from None

    def __len__(self) -> int:
        return len(self.notes)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def cursor(self) -> str | None:
        """Where the source is to go on."""
        self.refresh()
        row = self._one("SELECT value FROM meta WHERE key = 'cursor'")
        return None if row is None else str(row[0])

    @property
    def problems(self) -> list[Problem]:
        """By path."""
        return [Problem(path, self._problems[path][1]) for path in sorted(self._problems)]

    # ---- changing

    def plan(self, changes: Changes) -> Plan:
        """What has to be read, touched and removed."""
        self.refresh()
        pending: dict[str, NoteFile] = {}
        removed: dict[str, None] = {}
        folders = {folder for path in self._problems for folder in _folders(path)}
        for step in changes.steps:
            if isinstance(step, Removed):
                gone = [step.path]
            elif isinstance(step, RemovedBelow):
                prefix = step.folder + "/"
                gone = self.graph.below(step.folder)
                if step.folder in folders:
                    gone += [path for path in (*pending, *self._problems) if path.startswith(prefix)]
            else:
                pending[step.file.path] = step.file
                folders.update(_folders(step.file.path))
                removed.pop(step.file.path, None)
                continue
            for path in gone:
                pending.pop(path, None)
                if self.graph.number(path) is not None or path in self._problems:
                    removed[path] = None
        if changes.complete:
            known = {note.path for note in self.notes.values()} | self._problems.keys()
            removed = dict.fromkeys(sorted(known - pending.keys()))
        read, touched = [], []
        for file in pending.values():
            number = self.graph.number(file.path)
            stored = None if number is None else self.notes[number]
            if stored is None or stored.version != file.version:
                failed = self._problems.get(file.path)
                if not (changes.complete and failed is not None and failed[0] == file.version):
                    read.append(file)
            elif (stored.sequence, stored.updated_at_us) != (file.sequence, file.updated_at_us):
                touched.append(file)
        return Plan(tuple(read), tuple(touched), tuple(removed))

    def apply(
        self,
        *,
        read: Sequence[ReadNote] = (),
        unread: Sequence[Unread] = (),
        touched: Sequence[NoteFile] = (),
        removed: Sequence[str] = (),
        cursor: str | None = None,
    ) -> int:
        """Store a batch in one transaction; with `cursor`, it was the last one of its changes. How many notes say something else
        now."""
        changed = 0
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._refresh()
                for path in removed:
                    self._remove(path)
                for file, reason in unread:
                    self._remove(file.path)
                    self._note_problem(file, reason)
                for item in read:
                    changed += self._write(item)
                for file in touched:
                    self._touch(file)
                if cursor is not None:
                    self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('cursor', ?)", (cursor,))
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._load()
                raise
        except apsw.Error as error:
            raise self._explain(error) from None
        return changed

    def clear(self) -> None:
        """Forget everything, so that the next look at the source reads all of it."""
        try:
            with self._connection:
                self._connection.execute(
                    "DELETE FROM note; DELETE FROM body; DELETE FROM vector; DELETE FROM problem; DELETE FROM meta;"
                )
                self._connection.execute("INSERT INTO words(words) VALUES ('delete-all')")
            self._load()
        except apsw.Error as error:
            raise self._explain(error) from None

    def optimize(self) -> None:
        """Merge the word lists into one; after a first look at many notes."""
        try:
            self._connection.execute("INSERT INTO words(words) VALUES ('optimize')")
        except apsw.Error as error:
            raise self._explain(error) from None

    # ---- reading

    def refresh(self) -> None:
        """See what another process has written meanwhile."""
        try:
            self._refresh()
        except apsw.Error as error:
            raise self._explain(error) from None

    def scores(self, terms: Iterable[str]) -> dict[int, float]:
        """BM25 by note."""
        try:
            return self._words.scores(terms)
        except apsw.Error as error:
            raise self._explain(error) from None

    def terms(self, text: str) -> list[str]:
        """The words of a text, as they are indexed, each once."""
        return self._words.terms(text)

    def body(self, number: int) -> str:
        """A note's text without its frontmatter."""
        row = self._one("SELECT text FROM body WHERE no = ?", (number,))
        return "" if row is None else str(row[0])

    def bodies(self) -> Iterable[tuple[int, str]]:
        """Every note's text."""
        try:
            yield from self._connection.execute("SELECT no, text FROM body")
        except apsw.Error as error:
            raise self._explain(error) from None

    def content(self, number: int) -> tuple[JsonObject | None, str]:
        """A note's metadata, and its text."""
        row = self._one("SELECT frontmatter, text FROM note JOIN body USING (no) WHERE note.no = ?", (number,))
        if row is None:
            return None, ""
        return None if row[0] is None else _decode_object(row[0]), row[1]

    def claims(self) -> list[Claim]:
        """Titles, claims, dates and tags of every note, by path."""
        try:
            rows = self._connection.execute("SELECT no, title, claim, valid_to, tags FROM note ORDER BY path")
            return [Claim(no, title, claim, valid_to, _decode_texts(tags)) for no, title, claim, valid_to, tags in rows]
        except apsw.Error as error:
            raise self._explain(error) from None

    # ---- vectors

    def unembedded(self, model: str, limit: int) -> list[tuple[int, str, str]]:
        """Notes without a vector of this model for what they say now: number, hash, and name with body."""
        try:
            rows = self._connection.execute(
                "SELECT note.no, note.hash, note.path, body.text FROM note JOIN body USING (no) LEFT JOIN vector"
                " ON vector.no = note.no AND vector.hash = note.hash AND vector.model = ?"
                " WHERE vector.no IS NULL ORDER BY note.no LIMIT ?",
                (model, limit),
            )
            return [(number, blob_hash, _indexed(path, text)) for number, blob_hash, path, text in rows]
        except apsw.Error as error:
            raise self._explain(error) from None

    def count_unembedded(self, model: str) -> int:
        """How many notes there are without such a vector."""
        row = self._one(
            "SELECT count(*) FROM note LEFT JOIN vector"
            " ON vector.no = note.no AND vector.hash = note.hash AND vector.model = ? WHERE vector.no IS NULL",
            (model,),
        )
        return 0 if row is None else int(row[0])

    def keep_vectors(self, model: str, vectors: Iterable[tuple[int, str, array[float]]]) -> None:
        """Keep vectors of notes that still have this content: number, hash, vector."""
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO vector SELECT no, hash, ?, ? FROM note WHERE no = ? AND hash = ?",
                    ((model, vector.tobytes(), number, blob_hash) for number, blob_hash, vector in vectors),
                )
        except apsw.Error as error:
            raise self._explain(error) from None

    def vectors(self, model: str, numbers: Iterable[int]) -> dict[int, array[float]]:
        """The vectors of this model that notes have for what they say now."""
        found = {}
        for number in numbers:
            row = self._one("SELECT hash, parts FROM vector WHERE no = ? AND model = ?", (number, model))
            if row is not None and row[0] == self.notes[number].blob_hash:
                found[number] = array("f", row[1])
        return found

    # ---- inside

    def _refresh(self) -> None:
        if self._connection.pragma("data_version") != self._data_version:
            self._load()

    def _load(self) -> None:
        self._data_version = self._connection.pragma("data_version")
        self.graph, self.notes, self.names, self.tags = NoteGraph(), {}, {}, {}
        self._words.load()
        rows = self._connection.execute(
            "SELECT no, path, version, hash, seq, updated_us, tags, links FROM note ORDER BY path"
        )
        for number, path, version, blob_hash, sequence, updated_us, tags, links in rows:
            stored = StoredNote(number, path, version, blob_hash, sequence, updated_us, _decode_texts(tags))
            self._remember(stored, _decode_texts(links))
        problems = self._connection.execute("SELECT path, version, reason FROM problem")
        self._problems = {path: (version, reason) for path, version, reason in problems}

    def _remember(self, stored: StoredNote, links: tuple[str, ...]) -> None:
        self.notes[stored.number] = stored
        self.graph.add(stored.number, stored.path, links)
        for table, keys in self._lookups(stored):
            for key in keys:
                table.setdefault(key, set()).add(stored.number)

    def _forget(self, stored: StoredNote) -> None:
        for table, keys in self._lookups(stored):
            for key in keys:
                numbers = table[key]
                numbers.discard(stored.number)
                if not numbers:
                    del table[key]
        del self.notes[stored.number]

    def _lookups(self, stored: StoredNote) -> tuple[tuple[dict[str, set[int]], Iterable[str]], ...]:
        return (
            (self.names, self._words.terms(note_name(stored.path))),
            (self.tags, dict.fromkeys(map(fold, stored.tags))),
        )

    def _write(self, item: ReadNote) -> bool:
        """Whether the content is new."""
        file, note = item.file, item.note
        number = self.graph.number(file.path)
        if number is not None:
            if self.notes[number].blob_hash == item.blob_hash:
                self._touch(file)
                return False
            self._words.remove(number, _indexed(file.path, self.body(number)))
            self._forget(self.notes[number])
        self._connection.execute(
            _UPSERT,
            (
                number,
                file.path,
                file.version,
                item.blob_hash,
                file.sequence,
                file.updated_at_us,
                None if note.frontmatter is None else _json(note.frontmatter),
                _json(note.links),
                _json(note.tags),
                note.title,
                note.core_claim,
                note.valid_to,
            ),
        )
        if number is None:
            number = self._connection.last_insert_rowid()
        self._connection.execute("INSERT OR REPLACE INTO body VALUES (?, ?)", (number, note.body))
        self._words.add(number, _indexed(file.path, note.body))
        stored = StoredNote(
            number, file.path, file.version, item.blob_hash, file.sequence, file.updated_at_us, note.tags
        )
        self._remember(stored, note.links)
        self._note_problem(file, note.problem)
        return True

    def _touch(self, file: NoteFile) -> None:
        number = self.graph.number(file.path)
        if number is None:
            return
        self._connection.execute(
            "UPDATE note SET version = ?, seq = ?, updated_us = ? WHERE no = ?",
            (file.version, file.sequence, file.updated_at_us, number),
        )
        self.notes[number] = self.notes[number]._replace(
            version=file.version, sequence=file.sequence, updated_at_us=file.updated_at_us
        )

    def _remove(self, path: str) -> None:
        number = self.graph.number(path)
        if number is not None:
            self._words.remove(number, _indexed(path, self.body(number)))
            self._connection.execute("DELETE FROM note WHERE no = ?", (number,))
            self._connection.execute("DELETE FROM body WHERE no = ?", (number,))
            self._connection.execute("DELETE FROM vector WHERE no = ?", (number,))
            self._forget(self.notes[number])
            self.graph.remove(number)
        if self._problems.pop(path, None) is not None:
            self._connection.execute("DELETE FROM problem WHERE path = ?", (path,))

    def _note_problem(self, file: NoteFile, reason: str | None) -> None:
        if reason is None:
            if self._problems.pop(file.path, None) is not None:
                self._connection.execute("DELETE FROM problem WHERE path = ?", (file.path,))
            return
        self._problems[file.path] = (file.version, reason)
        self._connection.execute("INSERT OR REPLACE INTO problem VALUES (?, ?, ?)", (file.path, file.version, reason))

    def _one(self, statement: str, values: tuple[Any, ...] = ()) -> Row | None:
        try:
            return self._connection.execute(statement, values).fetchone()
        except apsw.Error as error:
            raise self._explain(error) from None

    def _explain(self, error: apsw.Error) -> KnowledgeIndexError:
        return explain(error, self._path)


def _indexed(path: str, body: str) -> str:
    """What is searched of a note."""
    return f"{note_name(path)} {body}"


def _folders(path: str) -> list[str]:
    """The folders that a path stands in."""
    found = []
    while (path := path.rpartition("/")[0]) != "":
        found.append(path)
    return found


def _json(value: Mapping[str, object] | Sequence[str]) -> str:
    return msgspec.json.encode(value).decode()
