"""Scores for what an agent did: heuristics that are computed, and a judge that is asked.

    scores.py      what a score is, and its events
    run_facts.py   what a run's events tell about it (a fold)
    heuristics.py  nine formulas over those facts
    judging.py     the question to a judge, and its answer

Ground rule: where an input is missing there is no score; never a penalty. Source: nous.md.
"""
