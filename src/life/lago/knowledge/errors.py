"""Errors of the knowledge index.

KnowledgeError                lago.knowledge_error
├── KnowledgeIndexError       lago.knowledge_index     the index file can't be read or written; it can be made again
└── KnowledgeSourceError      lago.knowledge_source    the folder of notes can't be read
NoteNotFoundError             lago.note_not_found      (a NotFoundError)
"""

from __future__ import annotations

from life.aios.errors import LifeError, NotFoundError


class KnowledgeError(LifeError):
    """The root of what the knowledge index may answer (leaves below)."""

    code = "lago.knowledge_error"


class KnowledgeIndexError(KnowledgeError):
    """The index file can't be read or written. Nothing is lost: it holds only what the notes say."""

    code = "lago.knowledge_index"
    status = 503

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"The knowledge index {path} can't be used: {reason}.",
            next_step="Remove the file; it is made again from the notes.",
            details={"path": path},
        )


class KnowledgeSourceError(KnowledgeError):
    """The folder of notes is not there or can't be read."""

    code = "lago.knowledge_source"
    status = 404


class NoteNotFoundError(NotFoundError):
    """No note has this name or path."""

    code = "lago.note_not_found"

    def __init__(self, reference: str) -> None:
        super().__init__("There is no such note.", details={"note": reference[:200]})
