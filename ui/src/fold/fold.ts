/** The page's fold (`life.workspace.fold`): pure, total, the same at every sequence as the Python one. */

import { CALLS } from "./calls";
import { JUDGES } from "./judges";
import { money } from "./money";
import type { EventRecord } from "./record";
import { endOpenWork, RUNS, type Step } from "./runs";
import { family, SIDES } from "./sides";
import { SPACES } from "./spaces";
import { emptyState, type State } from "./state";
import { capped, fields, short, text, type Json } from "./values";

const MOST_KINDS = 300;
const STEPS: ReadonlyMap<string, Step> = new Map(Object.entries({ ...RUNS, ...CALLS, ...SIDES, ...JUDGES, ...SPACES }));

/** Take one more event into a state of one's own. An ephemeral one (sequence 0) changes nothing. */
export function advance(state: State, record: EventRecord): void {
  if (!(record.sequence > 0)) return;
  if (record.branch_id !== state.branch) enterBranch(state, record);
  state.seq = record.sequence;
  state.time = record.timestamp;
  state.events = capped(state.events + 1);
  let event = fields(record.kind as Json);
  let name = text(event.type) || "Unknown";
  if (name === "Custom") {
    name = text(event.event_type) || "Custom";
    event = fields(event.data);
  }
  name = short(name, 100);
  countKind(state, name);
  if (!state.session.id) {
    state.session = { ...state.session, id: text(record.session_id), agent: text(record.agent_id) };
  }
  const step = STEPS.get(name);
  if (step) step(state, event, record);
  else if (name.startsWith("finance.")) money(state, name, event);
  else family(state, name, event);
  state.status = status(state);
}

function countKind(state: State, name: string): void {
  let counted = name;
  if (!Object.hasOwn(state.kinds, name) && Object.keys(state.kinds).length >= MOST_KINDS) counted = "other";
  const before = Object.hasOwn(state.kinds, counted) ? (state.kinds[counted] as number) : 0;
  Object.defineProperty(state.kinds, counted, {
    value: capped(before + 1), enumerable: true, configurable: true, writable: true,
  });
}

function enterBranch(state: State, record: EventRecord): void {
  state.branch = text(record.branch_id);
  if (state.events === 0) return;
  endOpenWork(state, "forked");
  Object.assign(state, {
    approvals: [], queue: [], runs: [], spans: [], decisions: [], samples: [], modes: [], rulings: [], judge: [],
    identity: [], branches: [], marks: [], peers: [], scores: [], quality: null, contacts: [], channels: [], talk: [], hires: [], offers: [],
  });
  state.session = { ...state.session, merged_into: "" };
}

function status(state: State): string {
  if (state.session.closed) return "closed";
  if (!state.run) return "idle";
  let waiting = false;
  for (const call of state.calls) {
    if (call.state === "in_doubt") return "in_doubt";
    waiting ||= call.state === "waiting" || call.state === "client";
  }
  if (waiting) return "waiting";
  return state.held || state.suspended ? "paused" : "running";
}

/** A state that goes its own way from here; rows are shared, since nobody changes them. */
export function copy(state: State): State {
  const made = { ...state };
  for (const name of Object.keys(made) as (keyof State)[]) {
    const value = made[name];
    if (Array.isArray(value)) Object.assign(made, { [name]: value.slice() });
  }
  made.kinds = { ...state.kinds };
  return made;
}

/** The state after all these events, in a state of its own. */
export function fold(records: Iterable<EventRecord>, from: State = emptyState()): State {
  const state = copy(from);
  for (const record of records) advance(state, record);
  return state;
}

/** Canonical JSON (RFC 8785) of plain values. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = value as Record<string, unknown>;
    return `{${Object.keys(members).sort().map((name) => `${JSON.stringify(name)}:${canonical(members[name])}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** SHA-256 of the canonical state, in hex. */
export async function digest(state: State): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(canonical(state)));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export { emptyState };
