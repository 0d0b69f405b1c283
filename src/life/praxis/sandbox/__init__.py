"""Sandboxes: bubblewrap (the default), Landlock where bubblewrap cannot run, and plain processes when an operator says so."""
