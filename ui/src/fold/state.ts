/** What the page knows at a position: the TypeScript of `life.workspace.state`. Field by field the same, digest for digest. */

import type { Channel, Contact, Demo, Hire, Note, Offer, Quality, Said, Score } from "./surroundings";

/** One thing in the conversation: `user`, `text`, `thinking`, `tool`, `end` of a run, `notice`, `payment`. */
export interface Entry {
  seq: number;
  branch: string;
  kind: string;
  /** The call, run or payment that it is about; of a notice the event's type. */
  ref: string;
  /** The tool's name, or why a run ended. */
  label: string;
  /** What the tool is pointed at. */
  detail: string;
  /** Of a tool: requested, waiting, client, approved, running, ok, error, timeout, cancelled, failed, refused, expired, in_doubt. */
  state: string;
  /** Sequence of the result. */
  end: number;
  ms: number;
  approval: string;
  /** The policy rule that spoke about the call. */
  rule: string;
  /** In words, where it did not simply allow it. */
  why: string;
}

/** One run and what it used. */
export interface Run {
  id: string;
  seq: number;
  started: string;
  provider: string;
  max_steps: number;
  max_tokens: number;
  /** 0: no such limit. */
  max_cost_micro: number;
  end: number;
  ended: string;
  reason: string;
  steps: number;
  prompt: number;
  completion: number;
  cost_micro: number;
  /** Model answers whose cost nobody told. */
  uncosted: number;
  calls: number;
  failed: number;
}

/** Counted over everything that was folded. */
export interface Totals {
  runs: number;
  steps: number;
  prompt: number;
  completion: number;
  cost_micro: number;
  uncosted: number;
  calls: number;
  ok: number;
  failed: number;
  denied: number;
  files: number;
  approvals: number;
  spent_micro: number;
  earned_micro: number;
  payments: number;
  compactions: number;
  errors: number;
}

/** A call without a result. */
export interface Call {
  id: string;
  tool: string;
  seq: number;
  /** Its tool run, once it was started. */
  run: string;
  state: string;
}

/** A stretch of work: `run`, `step`, `model`, `tool`. */
export interface Span {
  id: string;
  parent: string;
  kind: string;
  name: string;
  seq: number;
  started: string;
  end: number;
  ended: string;
  /** Empty while it is open. */
  status: string;
  prompt: number;
  completion: number;
  /** From asking the model to the first piece of its answer. */
  first_ms: number;
}

/** A call that waits for a person. */
export interface Approval {
  id: string;
  call: string;
  tool: string;
  risk: string;
  seq: number;
  asked: string;
  capabilities: string[];
}

/** What became of an approval. */
export interface Decision {
  id: string;
  call: string;
  tool: string;
  risk: string;
  asked_seq: number;
  seq: number;
  decision: string;
  reason: string;
}

/** What a person allowed for the rest of the session. */
export interface Rule {
  id: string;
  tool: string;
  patterns: string[];
  by: string;
  seq: number;
}

/** A queued message. */
export interface Waiting {
  id: string;
  mode: string;
  message: string;
  seq: number;
}

/** The agent's state vector as the journal last told it. */
export interface Vector {
  seq: number;
  progress: number;
  uncertainty: number;
  risk: string;
  error_streak: number;
  context_pressure: number;
  side_effect_pressure: number;
  human_dependency: number;
  tokens_remaining: number;
  time_remaining_ms: number;
  tool_calls_remaining: number;
  error_budget_remaining: number;
}

/** The three pressures and what is remaining, for a line over time. */
export interface Sample {
  seq: number;
  progress: number;
  uncertainty: number;
  context_pressure: number;
  side_effect_pressure: number;
  error_streak: number;
}

/** What homeostasis permits. */
export interface Gates {
  seq: number;
  side_effects: boolean;
  approval_for_risk: string;
  tool_calls: number;
  mutations: number;
  network: boolean;
  shell: boolean;
  reason: string;
}

/** A change of the operating mode. */
export interface Mode {
  seq: number;
  was: string;
  now: string;
  reason: string;
}

/** An event of a family that is listed as it is. */
export interface Noted {
  seq: number;
  type: string;
  detail: string;
}

/** The last thing that happened to a file. */
export interface File {
  path: string;
  /** write, change, delete, rename. */
  op: string;
  seq: number;
  branch: string;
  time: string;
  /** -1: not told. */
  size: number;
  hash: string;
  /** Its path before, of a rename. */
  was: string;
  /** How often it was touched. */
  count: number;
}

/** A part of the context that was compiled for the model. */
export interface Block {
  /** `frozen` (the beginning) or `noted` (what the last run was told). */
  part: string;
  kind: string;
  source: string;
  tokens: number;
  cut: boolean;
  dropped: boolean;
}

/** What the model was sent, as far as events tell. */
export interface Context {
  window: number;
  /** Tokens of the last prompt, as the provider counted them. */
  prompt: number;
  prompt_seq: number;
  frozen_seq: number;
  noted_seq: number;
  compacted_seq: number;
  dropped: number;
  before: number;
  after: number;
}

/** Something in memory or knowledge: proposed, committed, tombstoned, observed, reflected, searched, retrieved, evaluated. */
export interface Memory {
  seq: number;
  branch: string;
  what: string;
  id: string;
  scope: string;
  path: string;
}

/** A payment: reserved, signed, sent, unknown, settled, failed, released, declined, earned. */
export interface Payment {
  id: string;
  state: string;
  seq: number;
  time: string;
  amount_micro: number;
  payee: string;
  resource: string;
  network: string;
  tx: string;
  reason: string;
  session: string;
}

/** An agent that works for this one. */
export interface Peer {
  call: string;
  agent: string;
  session: string;
  state: string;
  seq: number;
  detail: string;
}

/** A branch that was forked off here. */
export interface Fork {
  id: string;
  name: string;
  at: number;
  seq: number;
}

/** A point worth seeing on the mini-map: user, failure, approval, payment, fork, end. */
export interface Mark {
  seq: number;
  kind: string;
}

/** Whose session it is. */
export interface Session {
  id: string;
  name: string;
  owner: string;
  agent: string;
  provider: string;
  created: string;
  closed: boolean;
  deleted: boolean;
  merged_into: string;
  parent: string;
  fork: number;
  branch_name: string;
}

/** Everything that the page draws, at `seq` of `branch`. */
export interface State {
  version: number;
  seq: number;
  branch: string;
  time: string;
  /** How many events were folded, those that a branch inherited included. */
  events: number;
  /** idle, running, paused, waiting, in_doubt, closed. */
  status: string;
  mode: string;
  held: boolean;
  suspended: string;
  breaker: boolean;
  /** The open run. */
  run: string;
  /** The open step's span. */
  step: string;
  /** Whether the last answer had words. */
  said: boolean;
  session: Session;
  totals: Totals;
  entries: Entry[];
  /** Entries that have left the list. */
  dropped: number;
  calls: Call[];
  runs: Run[];
  spans: Span[];
  approvals: Approval[];
  decisions: Decision[];
  rules: Rule[];
  queue: Waiting[];
  vector: Vector | null;
  samples: Sample[];
  gates: Gates | null;
  modes: Mode[];
  rulings: Noted[];
  files: File[];
  context: Context;
  blocks: Block[];
  memory: Memory[];
  judge: Noted[];
  scores: Score[];
  quality: Quality | null;
  notes: Note[];
  contacts: Contact[];
  channels: Channel[];
  /** What was said in Spaces. */
  talk: Said[];
  hires: Hire[];
  demo: Demo | null;
  offers: Offer[];
  identity: Noted[];
  payments: Payment[];
  peers: Peer[];
  branches: Fork[];
  marks: Mark[];
  /** Events by kind; of extension events by their dotted name. */
  kinds: Record<string, number>;
}

/** Counts up when the meaning of the state changes. */
export const VERSION = 2;

/** How many items each list keeps; the oldest leave first. */
export const CAPS = {
  entries: 400,
  spans: 600,
  runs: 100,
  approvals: 100,
  decisions: 100,
  rules: 100,
  queue: 50,
  samples: 200,
  modes: 50,
  rulings: 50,
  files: 500,
  blocks: 100,
  memory: 200,
  judge: 50,
  scores: 200,
  notes: 200,
  contacts: 100,
  channels: 100,
  talk: 100,
  hires: 100,
  offers: 20,
  identity: 50,
  payments: 200,
  peers: 100,
  branches: 100,
  marks: 2000,
  calls: 200,
} as const;

const emptySession: Session = {
  id: "",
  name: "",
  owner: "",
  agent: "",
  provider: "",
  created: "",
  closed: false,
  deleted: false,
  merged_into: "",
  parent: "",
  fork: 0,
  branch_name: "",
};

const emptyTotals: Totals = {
  runs: 0,
  steps: 0,
  prompt: 0,
  completion: 0,
  cost_micro: 0,
  uncosted: 0,
  calls: 0,
  ok: 0,
  failed: 0,
  denied: 0,
  files: 0,
  approvals: 0,
  spent_micro: 0,
  earned_micro: 0,
  payments: 0,
  compactions: 0,
  errors: 0,
};

const emptyContext: Context = {
  window: 0,
  prompt: 0,
  prompt_seq: 0,
  frozen_seq: 0,
  noted_seq: 0,
  compacted_seq: 0,
  dropped: 0,
  before: 0,
  after: 0,
};

/** The state before the first event. */
export function emptyState(): State {
  return {
    version: VERSION,
    seq: 0,
    branch: "",
    time: "",
    events: 0,
    status: "idle",
    mode: "",
    held: false,
    suspended: "",
    breaker: false,
    run: "",
    step: "",
    said: false,
    session: emptySession,
    totals: emptyTotals,
    entries: [],
    dropped: 0,
    calls: [],
    runs: [],
    spans: [],
    approvals: [],
    decisions: [],
    rules: [],
    queue: [],
    vector: null,
    samples: [],
    gates: null,
    modes: [],
    rulings: [],
    files: [],
    context: emptyContext,
    blocks: [],
    memory: [],
    judge: [],
    scores: [],
    quality: null,
    notes: [],
    contacts: [],
    channels: [],
    talk: [],
    hires: [],
    demo: null,
    offers: [],
    identity: [],
    payments: [],
    peers: [],
    branches: [],
    marks: [],
    kinds: {},
  };
}

const emptyEntry: Entry = {
  seq: 0,
  branch: "",
  kind: "",
  ref: "",
  label: "",
  detail: "",
  state: "",
  end: 0,
  ms: 0,
  approval: "",
  rule: "",
  why: "",
};

/** An entry with the fields that matter. */
export function newEntry(given: Partial<Entry> & Pick<Entry, "seq" | "branch" | "kind">): Entry {
  return { ...emptyEntry, ...given };
}
