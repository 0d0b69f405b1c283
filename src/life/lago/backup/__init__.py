"""Online backup: a consistent copy of a journal and its blobs, incremental, verified, in a directory or a bucket (docs/backup.md)."""
