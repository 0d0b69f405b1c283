"""The tree of commands."""

from __future__ import annotations

from typing import Final

from life.cli.lazy import Lazy, LazyGroup

identity: Final = LazyGroup(
    "identity",
    {
        "new": Lazy("life.cli.identity:new", "Make this project's agent identity, or show the one there is."),
        "show": Lazy("life.cli.identity:show", "Show the identity, verified against its seed."),
        "token": Lazy("life.cli.identity:token", "Issue an agent token (ES256, at most 60 seconds)."),
        "verify": Lazy("life.cli.identity_trust:verify", "Check a token, a DID, or an identity document in a file."),
        "rotate": Lazy("life.cli.identity_keys:rotate", "Replace the identity's key by a new one; the wallet stays."),
        "revoke": Lazy(
            "life.cli.identity_keys:revoke", "Revoke one of the identity's keys for ever, or only its sessions."
        ),
        "grant": Lazy("life.cli.identity_grants:grant", "Let an agent do something, like `wallet:read` at a daemon."),
        "ungrant": Lazy("life.cli.identity_grants:ungrant", "Take back what was granted."),
        "attest": Lazy(
            "life.cli.identity_trust:attest", "Sign an attestation about another identity, or keep one about this one."
        ),
        "backends": Lazy(
            "life.cli.identity_backends:backends",
            "List the custody backends: what each can do, and whether this machine has what it needs.",
        ),
        "doctor": Lazy(
            "life.cli.identity_backends:doctor",
            "Try the chosen backend with real calls, and say what is wrong in one sentence each.",
        ),
        "migrate": Lazy(
            "life.cli.identity_backends:migrate", "Move the identity to another custody backend; its wallet stays."
        ),
        "remote-key": Lazy(
            "life.cli.identity_backends:remote_key",
            "Make the key by which a remote oracle will know this machine, in FILE (mode 0600), and print its DID.",
        ),
        "remote-accept": Lazy(
            "life.cli.identity_backends:remote_accept",
            "Put what `somad grant` printed (a file, or standard input) into FILE.",
        ),
    },
    help="The agent's identity: DID, wallet, soul and seed.",
)

arcan: Final = LazyGroup(
    "arcan",
    {
        "shell": Lazy("life.cli.shell.command:shell", "Talk with the agent."),
        "run": Lazy("life.cli.session_run:run_once", "Run one objective and print the answer."),
        "session": Lazy("life.cli.session:session", "Sessions: list, show, replay, export, fork, delete."),
        "identity": Lazy("life.cli.groups:identity", "The agent's identity: DID, wallet, soul and seed."),
    },
    help="Arcan, the runtime.",
)

approvals: Final = LazyGroup(
    "approvals",
    {
        "list": Lazy("life.cli.haima_approvals:list_", "List payments that wait for a person, oldest first."),
        "show": Lazy("life.cli.haima_approvals:show", "Show one payment that waits, in full."),
        "approve": Lazy("life.cli.haima_approvals:approve", "Let one payment of exactly these terms be made."),
        "deny": Lazy("life.cli.haima_approvals:deny", "Refuse a payment."),
        "watch": Lazy(
            "life.cli.haima_approvals:watch", "Show what waits, then everything that happens, until interrupted."
        ),
    },
    help="Payments that wait for a person.",
)

wallet: Final = LazyGroup(
    "wallet",
    {
        "books": Lazy(
            "life.cli.haima_wallet:books",
            "Show what every wallet of a directory has paid and promised, and what is in doubt.",
        ),
        "cap": Lazy(
            "life.cli.haima_wallet:cap",
            "Set the most that a wallet may ever pay, like $5 or 0.25; `none` lifts the cap.",
        ),
        "resolve": Lazy(
            "life.cli.haima_wallet:resolve", "Say what became of a payment whose outcome nobody could tell."
        ),
        "cancel": Lazy("life.cli.haima_wallet:cancel", "Burn a signed payment on the chain before its seller uses it."),
    },
    help="What a payer's wallets have paid and promised.",
)

haima: Final = LazyGroup(
    "haima",
    {
        "pay": Lazy("life.cli.haima_pay:pay", "Fetch a URL and pay for it when it asks (HTTP 402)."),
        "serve": Lazy("life.cli.haima_serve:serve", "Serve a small shop that charges over x402."),
        "facilitator": Lazy("life.cli.haima_facilitator:facilitator", "Verify and settle x402 payments for others."),
        "discover": Lazy("life.cli.haima_discover:discover", "Look for paid resources."),
        "wallet": Lazy("life.cli.groups:wallet", "What a payer's wallets have paid and promised."),
        "approvals": Lazy("life.cli.groups:approvals", "Payments that wait for a person."),
        "refund": Lazy(
            "life.cli.haima_refund:refund", "Give the money of a settled charge back to its payer, whole or in part."
        ),
        "ledger": Lazy("life.cli.haima_ledger:ledger", "Show the books: every account and its balance."),
        "reconcile": Lazy(
            "life.cli.haima_reconcile:reconcile_", "Compare the books with the chain, and settle what was in doubt."
        ),
        "cost": Lazy(
            "life.cli.haima_cost:cost", "Show what was spent, by service, day, session, task, agent or counterparty."
        ),
        "bills": Lazy(
            "life.cli.haima_bills:bills",
            "List the bills for finished tasks: who owes whom, what is paid, what is disputed.",
        ),
        "credit": Lazy("life.cli.haima_credit:credit", "Credit scores, credit lines, reports."),
    },
    help="Haima, the finance engine.",
)

journal: Final = LazyGroup(
    "journal",
    {
        "tail": Lazy("life.cli.journal:tail", "Show the newest events, and follow."),
        "stats": Lazy("life.cli.journal:stats", "Count events, sessions and bytes."),
        "verify": Lazy(
            "life.cli.journal:verify",
            "Check every event against the chain of digests, and every signature in the journal.",
        ),
        "export": Lazy("life.cli.journal:export", "Write events as JSON lines."),
        "import": Lazy("life.cli.journal:import_", "Append events from JSON lines."),
        "checkpoint": Lazy("life.cli.journal_proof:checkpoint", "Sign how far each branch reached."),
        "prove": Lazy(
            "life.cli.journal_proof:prove", "Prove that one event stood in its branch, without the rest of it."
        ),
        "check-proof": Lazy("life.cli.journal_proof:check_proof", "Check an inclusion proof."),
        "redact": Lazy("life.cli.journal_proof:redact", "Take the content of events out of the journal, for good."),
        "archive": Lazy(
            "life.cli.journal_proof:archive",
            "Put a session into one file for an auditor: events, contents, keys, checkpoints, and a verifier.",
        ),
        "verify-archive": Lazy(
            "life.cli.journal_proof:verify_archive",
            "Check the archive of a session: every byte, event and signature.",
        ),
    },
    help="The journal: watch, verify, prove, export, import.",
)

blobs: Final = LazyGroup(
    "blobs",
    {
        "list": Lazy("life.cli.blobs:list_", "List the blobs in the store."),
        "get": Lazy("life.cli.blobs:get", "Write a blob's content, verified."),
        "put": Lazy("life.cli.blobs:put", "Store a content and print its SHA-256."),
        "verify": Lazy("life.cli.blobs:verify", "Read every blob and name those that are not what they were."),
        "collect": Lazy(
            "life.cli.blobs:collect_", "Find, and with --yes remove, blobs that no event of any session mentions."
        ),
    },
    help="Contents by their SHA-256.",
)

backup: Final = LazyGroup(
    "backup",
    {
        "create": Lazy("life.cli.backup:create", "Back up the journal and its blobs, while they are in use."),
        "verify": Lazy(
            "life.cli.backup:verify",
            "Read a whole backup (the newest unless one is named) and check every event, digest and blob in it.",
        ),
        "restore": Lazy(
            "life.cli.backup:restore",
            "Put a backup back, into a data directory that is empty or not there yet, and verify it.",
        ),
        "list": Lazy("life.cli.backup:list_", "List the backups at a place, oldest first."),
    },
    help="Back up the journal and its blobs, and put them back.",
)

_PERSISTENCE: Final = {
    "journal": Lazy("life.cli.groups:journal", "The journal: watch, verify, prove, export, import."),
    "blobs": Lazy("life.cli.groups:blobs", "Contents by their SHA-256."),
    "files": Lazy("life.cli.files:files", "List a session's files, now or at any event; diff, merge, watch, export."),
    "knowledge": Lazy("life.cli.knowledge:knowledge", "Search notes that link to one another, with their sources."),
    "backup": Lazy("life.cli.groups:backup", "Back up the journal and its blobs, and put them back."),
}
"""The same under `lago` and under `life`."""

lago: Final = LazyGroup(
    "lago",
    {
        "serve": Lazy("life.cli.lagod:lagod", "Serve the journal, blobs and files over HTTP and server-sent events."),
        **_PERSISTENCE,
    },
    help="Lago, the persistence.",
)

spaces_peers: Final = LazyGroup(
    "peers",
    {
        "list": Lazy(
            "life.cli.spaces:peers",
            "List the agents of the directory, with what they do and cost; with SKILL those who have it (its id, or a tag).",
        ),
        "show": Lazy(
            "life.cli.spaces_peers:show",
            "Show PEER (a username or identity): what it offers, what our agent's trust in it is, and the hires between the two.",
        ),
        "hire-state": Lazy(
            "life.cli.spaces_peers:hire_state",
            "Show where the hires of the project's agent stand, and their money; with HIRE one of them in full.",
        ),
    },
    help="Other agents: who they are, what they cost, and hires between us.",
)

spaces: Final = LazyGroup(
    "spaces",
    {
        "up": Lazy(
            "life.cli.spacesd:spacesd",
            "Run Spaces: channels, direct messages and the directory of agents, over one WebSocket.",
        ),
        "list": Lazy("life.cli.spaces:list_", "List the spaces that you can see."),
        "channels": Lazy(
            "life.cli.spaces:channels", "List the channels of a space (without --space: of all that you are in)."
        ),
        "send": Lazy("life.cli.spaces:send", "Write TEXT into a CHANNEL (its name or number), or (@NAME) to somebody."),
        "history": Lazy("life.cli.spaces:history", "Show the newest messages of a channel."),
        "watch": Lazy(
            "life.cli.spaces:watch",
            "Follow channels (#general) and topics (space:1, dm:self, inbox:self, directory, tasks:self), until Ctrl-C.",
        ),
        "chat": Lazy("life.cli.spaces_chat:chat", "Talk in a CHANNEL, at the terminal."),
        "members": Lazy(
            "life.cli.spaces:members", "List the members of a space, with their roles and whether they are here."
        ),
        "roles": Lazy(
            "life.cli.spaces:roles", "Show what each role may do; with SPACE PERSON ROLE give somebody a role."
        ),
        "invite": Lazy(
            "life.cli.spaces:invite", "Make a code by which somebody joins a space (`life spaces join CODE`)."
        ),
        "join": Lazy(
            "life.cli.spaces:join", "Join a public space by its name or number, or any space by an invite's code."
        ),
        "create": Lazy("life.cli.spaces:create", "Make a space, or (--in SPACE) a channel."),
        "peers": Lazy(
            "life.cli.groups:spaces_peers", "Other agents: who they are, what they cost, and hires between us."
        ),
        "dm": Lazy(
            "life.cli.spaces_reading:dm",
            "Write TEXT to PERSON alone; without TEXT read what was said, without PERSON list with whom.",
        ),
        "threads": Lazy(
            "life.cli.spaces_reading:threads", "List the threads of a CHANNEL; begin, close and open them."
        ),
        "search": Lazy("life.cli.spaces_reading:search", "Find messages that contain TEXT, wherever you may read."),
        "log": Lazy(
            "life.cli.spaces_reading:log",
            "Show what agents logged: in the channel WHERE, or in all agent logs that you can see.",
        ),
        "kick": Lazy("life.cli.spaces_moderation:kick", "Remove PERSON from SPACE; they may come back."),
        "ban": Lazy("life.cli.spaces_moderation:ban", "Keep PERSON out of SPACE; without PERSON list who is."),
        "mute": Lazy(
            "life.cli.spaces_moderation:mute",
            "Keep PERSON from writing in SPACE for a while; without PERSON list who is.",
        ),
        "reports": Lazy(
            "life.cli.spaces_moderation:reports",
            "List the messages of a SPACE that were reported; close a report.",
        ),
        "call": Lazy(
            "life.cli.spaces:call",
            "Carry out any COMMAND with its ARGUMENTS as name=value (docs/spaces.md lists them). The row it concerns is printed as JSON.",
        ),
        "nats-cluster": Lazy(
            "life.cli.spaces_nats:nats_cluster", "Write the settings of three NATS servers that keep Spaces durably."
        ),
        "nats-leaf": Lazy(
            "life.cli.spaces_nats:nats_leaf", "Write the settings of a NATS leaf node for a laptop that joins them."
        ),
    },
    help="Spaces: channels, direct messages, and a directory of agents.",
)

relay: Final = LazyGroup(
    "relay",
    {
        "serve": Lazy(
            "life.cli.relay:serve", "Let those who are allowed attach to the sessions of the arcand that works here."
        ),
        "nodes": Lazy("life.cli.relay:nodes", "List the nodes that you know and whether they answer."),
        "sessions": Lazy("life.cli.relay:sessions", "List the sessions at a NODE that you may watch."),
        "attach": Lazy("life.cli.relay_attach:attach", "Talk with SESSION at NODE: watch, write, approve, stop."),
        "allow": Lazy("life.cli.relay:allow", "Let a key (its DID) attach to this project's sessions."),
        "revoke": Lazy("life.cli.relay:revoke", "Take back what a key was allowed, and what it allowed others."),
        "grants": Lazy("life.cli.relay:grants", "List who may do what with this project's sessions."),
    },
    help="Relay: watch and steer the sessions of an agent elsewhere.",
)

demo: Final = LazyGroup(
    "demo",
    {
        "first-payment": Lazy(
            "life.cli.demo:first_payment", "An agent meets a price, decides, pays and proves it, step by step."
        ),
        "list": Lazy("life.cli.demos:list_", "List the demos that are shipped."),
        "show": Lazy("life.cli.demos:show", "Show what a demo does, what it has, and what is simulated in it."),
        "run": Lazy(
            "life.cli.demos:run_",
            "Run a demo on the real runtime: real session, tools, files, journal, policy and play money.",
        ),
        "replay": Lazy(
            "life.cli.demos:replay",
            "Show a demo's recording, and run it again from its events alone: no model, no tool and no network is asked.",
        ),
        "copy": Lazy(
            "life.cli.demos:copy",
            "Make a demo yours: its files, instructions, tools and policy in a session of this project. Nothing is started.",
        ),
        "record": Lazy(
            "life.cli.demos:record",
            "Run a demo, check it, and write its recording to FILE (and the contents of its files beside it).",
        ),
    },
    help="Demonstrations that run offline on the real parts.",
)

life: Final = LazyGroup(
    "life",
    {
        "up": Lazy("life.cli.arcand:up", "Start everything in one process and print a one-time link."),
        "chat": Lazy(
            "life.cli.chat.command:chat", "The workspace in a terminal: talk, decide, look through time, branch."
        ),
        "init": Lazy("life.cli.init:init", "Make this folder a Life project: settings, an identity, an example agent."),
        "doctor": Lazy("life.cli.doctor:doctor", "Try everything this project needs, and say what is wrong."),
        "status": Lazy(
            "life.cli.status:status", "Show sessions, means, health, what waits for a person, and which daemons run."
        ),
        "demo": Lazy("life.cli.groups:demo", "Demonstrations that run offline on the real parts."),
        "login": Lazy("life.cli.login:login", "Print a fresh one-time link to the running daemon."),
        "settings": Lazy("life.cli.settings:settings", "List every setting, its variable and its value."),
        "identity": Lazy("life.cli.groups:identity", "The agent's identity: DID, wallet, soul and seed."),
        "agents": Lazy("life.cli.agents:agents", "Agents that others can call, as files."),
        "autonomic": Lazy(
            "life.cli.autonomic:autonomic", "What is permitted now and why; deposits; waking; simulation."
        ),
        "memory": Lazy("life.cli.memory:memory", "What the agent remembers: list, search, propose, take over, forget."),
        "skills": Lazy("life.cli.skills:skills", "Instructions for special tasks."),
        "models": Lazy("life.cli.models:models", "Models, their prices, and the keys of their providers."),
        "mcp": Lazy("life.cli.mcp:mcp", "Serve MCP, and use MCP servers."),
        "trace": Lazy(
            "life.cli.trace:trace", "Show where a session's time went, from its events; or send it to a tracing tool."
        ),
        "ledger": Lazy("life.cli.haima_ledger:ledger", "Show the books: every account and its balance."),
        "spaces": Lazy("life.cli.groups:spaces", "Spaces: channels, direct messages, and a directory of agents."),
        "relay": Lazy("life.cli.groups:relay", "Relay: watch and steer the sessions of an agent elsewhere."),
        "arcan": Lazy("life.cli.groups:arcan", "Arcan, the runtime."),
        "haima": Lazy("life.cli.groups:haima", "Haima, the finance engine."),
        "lago": Lazy("life.cli.groups:lago", "Lago, the persistence."),
        **_PERSISTENCE,
    },
    help="Life, an operating system for AI agents.",
)
