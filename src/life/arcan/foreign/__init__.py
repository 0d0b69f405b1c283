"""Bring your own loop: an agent of another framework thinks, and its model and tool calls run as a session of ours.

    port.py           what an adapter is and what it is given
    loop_run.py       one run of such a loop, replayed from the record and then going on
    outside_loop.py   it as a provider and a toolbox of a runtime
    record.py         what a conversation remembers of it
    pydantic_ai.py, openai_agents.py, langgraph.py   the adapters (extras of the same names)

docs/bring-your-own-loop.md says what is guaranteed.
"""
