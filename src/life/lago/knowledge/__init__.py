"""Knowledge: markdown notes that link to one another, found again with their sources (lago.md §13).

note, links, frontmatter    one note, parsed
source, directory, journal  where notes come from: a folder, or the files of a session
words, index                the SQLite file beside the journal: words by FTS5, notes, a cursor
graph, ranking, search      links, scores, results
lint, catalogue, assembly   health, table of contents, cited context
semantic                    meaning beside words, with a model behind a port
vault, vaults               all of it for one (owner, branch), kept up to date; those of a journal
cubes, ingest, redaction    small memories from transcripts and texts, without the secrets in them
event_search                the events of one session
sync_plan, folder_sync      a folder and a session made the same, both ways
"""
