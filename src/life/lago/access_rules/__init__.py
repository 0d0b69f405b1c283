"""The policy engine (lago.md §10): who may do what, by rules and roles in TOML; deny unless something allows.

    conditions  what a rule or a hook looks for
    rules       rules, roles, hooks, and the file that has them
    engine      the one evaluation, with its explanation
    tickets     approvals that a person has to give
    gate        evaluate, journal, ask, tell

Requests over HTTP and calls of tools go through the same `PolicyGate.check`; they differ only in the request that describes them.
"""
