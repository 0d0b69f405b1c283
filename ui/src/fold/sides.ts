/** Files, state and homeostasis, memory, judges, identity and peers (`life.workspace.side_folds`). */

import { last, notice, patch, push, ruling, total } from "./rows";
import type { Step } from "./runs";
import type { State } from "./state";
import { capped, count, fields, fraction, member, short, text, type Fields, type Json } from "./values";

const fileWrite: Step = (state, event) => {
  const path = pathOf(event.path);
  const hash = text(event.blob_hash);
  const size = count(event.size_bytes);
  const known = last(state.files, (row) => row.path === path);
  if (known && hash && known.hash === hash && known.op !== "delete") {
    patch(state.files, known, { op: "write", size, seq: state.seq, branch: state.branch });
    return;
  }
  touch(state, path, "write", hash, size);
};

const fileDelete: Step = (state, event) => touch(state, pathOf(event.path), "delete", "", -1);

/** A path in the workspace; versions of files begin at a root. */
function pathOf(value: Json | undefined): string {
  const path = text(value);
  return path.startsWith("/") ? path.slice(1) : path;
}

const fileRename: Step = (state, event) => {
  const old = pathOf(event.old_path);
  const before = last(state.files, (row) => row.path === old);
  state.files = state.files.filter((row) => row.path !== old);
  touch(state, pathOf(event.new_path), "rename", before?.hash ?? "", before?.size ?? -1, old);
};

const fileMutated: Step = (state, event) => {
  const path = pathOf(event.path);
  const hash = text(event.content_hash);
  total(state, { files: 1 });
  if (hash === "deleted") return touch(state, path, "delete", "", -1);
  const known = last(state.files, (row) => row.path === path);
  if (known && known.hash === hash && known.op !== "delete") return;
  touch(state, path, "change", hash, -1);
};

function touch(state: State, path: string, op: string, hash: string, size: number, was = ""): void {
  const before = last(state.files, (row) => row.path === path);
  state.files = state.files.filter((row) => row.path !== path);
  push(state, "files", {
    path, op, seq: state.seq, branch: state.branch, time: state.time, size, hash, was,
    count: before ? capped(before.count + 1) : 1,
  });
}

const stateEstimated: Step = (state, event) => {
  const told = fields(event.state);
  const budget = fields(told.budget);
  const vector = {
    seq: state.seq,
    progress: fraction(told.progress),
    uncertainty: fraction(told.uncertainty),
    risk: text(told.risk_level),
    error_streak: count(told.error_streak),
    context_pressure: fraction(told.context_pressure),
    side_effect_pressure: fraction(told.side_effect_pressure),
    human_dependency: fraction(told.human_dependency),
    tokens_remaining: count(budget.tokens_remaining),
    time_remaining_ms: count(budget.time_remaining_ms),
    tool_calls_remaining: count(budget.tool_calls_remaining),
    error_budget_remaining: count(budget.error_budget_remaining),
  };
  state.vector = vector;
  state.mode = text(event.mode);
  const { seq, progress, uncertainty, context_pressure, side_effect_pressure, error_streak } = vector;
  push(state, "samples", { seq, progress, uncertainty, context_pressure, side_effect_pressure, error_streak });
};

const modeChanged: Step = (state, event) => {
  const now = text(event.to);
  push(state, "modes", { seq: state.seq, was: text(event.from), now, reason: short(event.reason) });
  state.mode = now;
};

const gatesUpdated: Step = (state, event) => {
  const told = fields(event.gates);
  state.gates = {
    seq: state.seq,
    side_effects: told.allow_side_effects === true,
    approval_for_risk: text(told.require_approval_for_risk),
    tool_calls: count(told.max_tool_calls_per_tick),
    mutations: count(told.max_file_mutations_per_tick),
    network: told.allow_network === true,
    shell: told.allow_shell === true,
    reason: short(event.reason),
  };
  ruling(state, "GatesUpdated", short(event.reason));
};

const regulated: Step = (state, event) => {
  if (event.gates_lifted === true) state.gates = null;
  ruling(state, "arcan.regulated", short(event.reason));
};

const remembered = (what: string, key: string): Step => (state, event) =>
  push(state, "memory", {
    seq: state.seq, branch: state.branch, what, id: short(member(event, key)), scope: text(event.scope), path: short(event.path),
  });

const peerStarted: Step = (state, event) =>
  push(state, "peers", {
    call: text(event.call_id),
    agent: text(event.agent),
    session: text(event.session_id),
    state: "working",
    seq: state.seq,
    detail: short(event.objective),
  });

const peerMoved = (key: string): Step => (state, event) => {
  const call = text(event.call_id);
  const row = last(state.peers, (each) => each.call === call);
  if (row) patch(state.peers, row, { state: short(member(event, key)), seq: state.seq });
};

/** Events of a family that is listed as it is. Others change nothing. */
export function family(state: State, name: string, event: Fields): void {
  const detail = short(event.reason) || short(event.explanation);
  if (name.startsWith("eval.")) push(state, "judge", { seq: state.seq, type: name, detail });
  else if (name.startsWith("anima.")) push(state, "identity", { seq: state.seq, type: name, detail });
  else if (name.startsWith("autonomic.")) ruling(state, name, detail);
  else if (name.startsWith("skill.")) notice(state, name, short(event.name));
}

export const SIDES: Record<string, Step> = {
  FileWrite: fileWrite,
  FileDelete: fileDelete,
  FileRename: fileRename,
  FileMutated: fileMutated,
  StateEstimated: stateEstimated,
  ModeChanged: modeChanged,
  GatesUpdated: gatesUpdated,
  "arcan.regulated": regulated,
  MemoryProposed: remembered("proposed", "proposal_id"),
  MemoryCommitted: remembered("committed", "memory_id"),
  MemoryTombstoned: remembered("tombstoned", "memory_id"),
  ObservationAppended: remembered("observed", "observation_ref"),
  ReflectionCompacted: remembered("reflected", "summary_ref"),
  KnowledgeSearched: remembered("searched", "query"),
  KnowledgeRetrieved: remembered("retrieved", "source"),
  KnowledgeEvaluated: remembered("evaluated", ""),
  "arcan.subagent_started": peerStarted,
  "arcan.subagent_waiting": peerMoved("status"),
  "arcan.subagent_finished": peerMoved("reason"),
};
