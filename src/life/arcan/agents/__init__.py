"""Agents that work for agents: definitions as files, typed answers, spawning within a budget, the tree of what runs.

    definition.py   `agents/<name>.md`: frontmatter and instructions
    catalogue.py    the definitions of some folders, and what is wrong with the others
    schemas.py      JSON Schema, checked whole and without the network
    typed.py        `record_answer`: how a typed agent answers
    profile.py      what a session of an agent was created with
    events.py       `arcan.subagent_*` and `arcan.answer_*`
    state.py        their folds
    budget.py       what a child may use of its parent's budget
    spawn.py        `spawn_agent`: the child's session, found again by its derived id
    fleet.py        the tree of runs
    api.py          the routes

Source: arcan.md §11; docs/subagents.md.
"""
