"""Agents that hire each other."""
