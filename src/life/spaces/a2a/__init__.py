"""A2A 1.0: this agent as others call it, and other agents as this one calls them (docs/a2a.md).

wire        messages, tasks and events in the protocol's JSON
errors      what the protocol refuses, with its codes in every binding
card        the agent card: built, signed and verified
events      what is written to the journal about tasks
state       the fold: every task as it stands
ports       what the host brings: the worker, the till, the way out
service     the protocol's operations
ledger      tasks on disk, in memory and told
feed        who listens to a task
driver      one task from its submission to its end
payment     the x402 extension
channel     tasks told in an agent log of Spaces
push        notifications of tasks
binding     what both bindings share
jsonrpc     the JSON-RPC binding
rest        the HTTP+JSON binding
client      calling another agent

Source: A2A Protocol Specification 1.0.
"""
