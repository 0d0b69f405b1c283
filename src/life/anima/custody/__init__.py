"""Custody backends, one file each. Every backend passes `life.testing.custody`."""
