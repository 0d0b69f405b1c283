"""Spaces: reducers, engines, listeners, A2A."""
