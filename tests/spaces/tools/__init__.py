"""Spaces as tools."""
