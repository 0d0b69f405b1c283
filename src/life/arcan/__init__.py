"""Arcan, the agent runtime: sessions, and one loop that thinks with any model and survives being killed.

errors         what can go wrong, with stable codes
events         the `arcan.*` events
state          the pure fold of a session (with `vector` and `conversation` as its parts)
plan           what comes next, decided from the folded state alone
session_log    one writer per session: stage, fold, commit
stream         the live stream of a session
step, calls    one model call; one tool call
loop           a run: steps until the model stops or a limit says so
sessions       creating, finding and closing sessions
runtime        the facade that everything else uses
providers/     scripted, anthropic, openai_compatible
"""
