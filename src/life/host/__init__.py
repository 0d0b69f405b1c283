"""Composition: settings, wiring, lifecycle, the HTTP application and the daemons.

Only this package (and the command line above it) names concrete parts: which journal, which custody, which chain.
"""
