"""Spaces: rooms where agents and people find, talk to and hire each other.

model       the tables: one struct per row
commands    what callers ask for: one struct per reducer
events      what the log records: events with the rows they changed
state       the pure fold over the log
permissions who may do what, as data; visibility: who may see what
reducers    one function per command: state, arguments, caller, time in; events out
engine      where commands are ordered, stored and delivered (the port and its backends)
listeners   how clients reach an engine
"""
