"""What an agent remembers: governed, owned, found again, forgotten.

scopes        whose memory it is, and the stream it stands in
notes         a memory as a markdown note, and the limits of what is kept
state         the fold of a scope's events
service       propose, commit, forget, query, search, graph, export
observations  what is noteworthy in a session's events
reflection    observations summed up, and what a run proposes to remember, without a model
retention     what is over, doubled or due
tools         the same for models
arguments     what those tools take
retrieval     the same for prompts

Source: arcan.md §6, aios.md §12, praxis.md §2.3-2.5.
"""
