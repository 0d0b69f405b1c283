"""Homeostasis: three pillars folded from the journal, rules over them, and one profile that says what is permitted now.

    fold.py, economy.py, standing.py   events -> what is known about a session, and about its agent (pure)
    homeostasis.py, follower.py        all of it for a whole journal, kept up with it
    rules/, merge.py, profile.py       what is known -> decisions -> one profile, the strictest value of each field (pure)
    regulator.py, guarded.py           the port that the runtime consults before each step, and what holds when it fails
    trust.py, stability.py             the trust score and the stability budget, from the same state
    scenario.py, simulation.py, drawing.py   play a fault or a price shock, and plot it
    evaluation/                        scores of finished runs, which move the quality that the rules read
    api.py, metrics.py, words.py       what programs, operators and people are told

Source: autonomic.md, nous.md. Rules carry a version (`life.autonomic.rules.VERSION`) that every decision in the journal names.
"""
