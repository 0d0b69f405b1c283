"""Spaces as tools for a model: find peers, talk with them, hire them (spaces.md §9)."""
