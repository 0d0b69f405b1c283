"""A session's files: manifests folded from events, branches that inherit, diff, merge, history, time travel (lago.md §5, §6)."""
