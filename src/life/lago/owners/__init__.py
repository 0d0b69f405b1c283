"""Who owns a session, and how much owners may use (lago.md §9 "Holes to close", §10, §11).

names      owners by name, and the session names that are reserved for them
events     what is journaled about owners
quotas     plans and what they allow
state      use by owner, folded from the journal
registry   creating sessions, asking whose they are, keeping to quotas
"""
