"""Plain pages for people: sessions, a session's chat and journal, ledger, identity, health.

Rendered on the server from the journal, useful without script. Text from models, tools and the network is data: templates
escape everything, and the content policy allows neither scripts nor foreign resources.
"""
