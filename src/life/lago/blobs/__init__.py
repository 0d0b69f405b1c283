"""Content-addressed blobs: compressed, verified, optionally encrypted, in a directory or an S3-compatible bucket."""
