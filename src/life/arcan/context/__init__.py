"""What a model is given besides the conversation, and how the conversation is kept within its window.

tokens        the one estimate of how long a text is for a model
blocks        typed pieces of context, and the port of their sources
compiler      blocks to text: order, budgets, what was dropped
instructions  sources: the project's instruction files, its git branch, the environment
compaction    which turns a summary replaces, and the summary without a model
summarising   the summary by a model
events        what of it stands in the journal
state         what the fold keeps of it
keeper        does it all before a model call

Source: arcan.md §5.
"""
