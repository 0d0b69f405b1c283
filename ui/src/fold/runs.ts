/** Sessions, runs, steps and what is said (`life.workspace.run_folds`). */

import type { EventRecord } from "./record";
import { entry, last, mark, notice, patch, push, ruling, toolEntry, total } from "./rows";
import type { Run, State } from "./state";
import { capped, count, fields, items, member, short, text, type Fields } from "./values";

export type Step = (state: State, event: Fields, record: EventRecord) => void;

const sessionCreated: Step = (state, event, record) => {
  if (state.session.created) return;
  const config = fields(event.config);
  state.session = {
    ...state.session,
    name: short(event.name, 200),
    owner: text(config.owner),
    provider: text(config.provider),
    created: record.timestamp,
  };
};

const sessionResumed: Step = (state) => notice(state, "SessionResumed");

const sessionClosed: Step = (state, event) => {
  endOpenWork(state, "closed");
  state.session = { ...state.session, closed: true };
  state.queue = [];
  state.rules = [];
  state.approvals = [];
  notice(state, "SessionClosed", short(event.reason));
};

const sessionDeleted: Step = (state, event, record) => {
  sessionClosed(state, event, record);
  state.session = { ...state.session, deleted: true };
};

const providerSet: Step = (state, event) => {
  state.session = { ...state.session, provider: text(event.provider) };
  notice(state, "arcan.provider_set", short(event.provider));
};

const branchCreated: Step = (state, event) => {
  const name = short(event.name, 200);
  const branch = text(event.new_branch_id);
  const at = count(event.fork_point_seq);
  if (branch === state.branch) {
    const parent = text(event.parent_branch_id) || "main";
    state.session = { ...state.session, parent, fork: at, branch_name: name };
  } else {
    push(state, "branches", { id: branch, name, at, seq: state.seq });
  }
  mark(state, "fork");
  notice(state, "BranchCreated", name);
};

const branchMerged: Step = (state, event) => {
  mark(state, "fork");
  notice(state, "BranchMerged", text(event.source_branch_id));
};

const branchSealed: Step = (state, event) => {
  state.session = { ...state.session, merged_into: text(event.target_branch_id) };
  notice(state, "arcan.branch_sealed", state.session.merged_into);
};

const restored: Step = (state, event) => notice(state, "CheckpointRestored", String(count(event.restored_to_seq)));

const userMessage: Step = (state, event) => {
  state.breaker = false;
  mark(state, "user");
  entry(state, { seq: state.seq, branch: state.branch, kind: "user", detail: short(event.content) });
};

const runStarted: Step = (state, event, record) => {
  endOpenWork(state, "interrupted");
  const run = text(record.event_id);
  const provider = text(event.specification) || text(event.provider);
  const started = record.timestamp;
  push(state, "runs", {
    id: run, seq: state.seq, started, provider, max_steps: count(event.max_iterations), max_tokens: 0, max_cost_micro: 0,
    end: 0, ended: "", reason: "", steps: 0, prompt: 0, completion: 0, cost_micro: 0, uncosted: 0, calls: 0, failed: 0,
  });
  openSpan(state, run, "", "run", provider, started);
  state.run = run;
  total(state, { runs: 1 });
};

/** Begin a stretch of work. */
export function openSpan(state: State, id: string, parent: string, kind: string, name: string, started: string): void {
  push(state, "spans", {
    id, parent, kind, name, seq: state.seq, started, end: 0, ended: "", status: "", prompt: 0, completion: 0, first_ms: 0,
  });
}

/** End a stretch of work that is open. */
export function endSpan(state: State, id: string, time: string, status: string): void {
  const span = last(state.spans, (row) => row.id === id && !row.ended);
  if (span) patch(state.spans, span, { end: state.seq, ended: time, status });
}

const runLimits: Step = (state, event) => {
  const run = openRun(state);
  if (!run) return;
  patch(state.runs, run, {
    max_steps: count(event.max_steps),
    max_tokens: count(event.max_tokens),
    max_cost_micro: count(event.max_cost_micro),
  });
};

const stepStarted: Step = (state, event, record) => {
  const step = text(record.event_id);
  openSpan(state, step, state.run, "step", String(count(event.index)), record.timestamp);
  openSpan(state, step + ":model", step, "model", "", record.timestamp);
  state.step = step;
};

const stepFinished: Step = (state, event, record) => {
  endSpan(state, state.step, record.timestamp, short(event.stop_reason) || "ok");
  state.step = "";
};

const message: Step = (state, event, record) => {
  const role = text(event.role);
  const hasWords = typeof event.content === "string" && event.content !== "";
  if (role === "user") return userMessage(state, event, record);
  if (role !== "assistant") return;
  const usage = fields(event.token_usage);
  const prompt = count(usage.prompt_tokens);
  const completion = count(usage.completion_tokens);
  state.said = hasWords;
  if (hasWords) entry(state, { seq: state.seq, branch: state.branch, kind: "text", detail: short(event.content) });
  spend(state, usage, prompt, completion);
  total(state, { steps: 1 });
  const run = openRun(state);
  if (run) patch(state.runs, run, { steps: capped(run.steps + 1) });
  if (member(usage, "prompt_tokens") !== undefined) {
    state.context = { ...state.context, prompt, prompt_seq: state.seq };
  }
  const span = last(state.spans, (row) => row.id === state.step + ":model" && !row.ended);
  if (span) {
    patch(state.spans, span, {
      name: text(event.model), prompt, completion, first_ms: count(event.first_token_ms),
      end: state.seq, ended: record.timestamp, status: "ok",
    });
  }
};

function spend(state: State, usage: Fields, prompt: number, completion: number): void {
  const cost = count(usage.cost_micro);
  const uncosted = member(usage, "cost_micro") === undefined ? 1 : 0;
  total(state, { prompt, completion, cost_micro: cost, uncosted });
  const run = openRun(state);
  if (!run) return;
  patch(state.runs, run, {
    prompt: capped(run.prompt + prompt),
    completion: capped(run.completion + completion),
    cost_micro: capped(run.cost_micro + cost),
    uncosted: capped(run.uncosted + uncosted),
  });
}

const reasoning: Step = (state) => {
  const thought = { seq: state.seq, branch: state.branch, kind: "thinking" };
  const newest = state.entries.at(-1);
  if (newest && newest.kind === "text" && newest.seq === state.seq - 1 && newest.branch === state.branch) {
    state.entries.pop();
    entry(state, thought);
    state.entries.push(newest);
    return;
  }
  entry(state, thought);
};

const runFinished: Step = (state, event, record) => {
  const reason = short(event.reason);
  const run = openRun(state);
  if (!run) {
    const row = last(state.runs, (each) => each.id === record.correlation_id);
    if (row) patch(state.runs, row, { reason });
    return;
  }
  const answer = short(event.final_answer);
  endRun(state, run, record, reason);
  const detail = state.said ? "" : answer;
  entry(state, { seq: state.seq, branch: state.branch, kind: "end", ref: run.id, label: reason, detail });
  mark(state, "end");
};

const runErrored: Step = (state, event, record) => {
  const run = openRun(state);
  if (run) endRun(state, run, record, "error");
  total(state, { errors: 1 });
  notice(state, "RunErrored", short(event.error));
  mark(state, "failure");
};

function endRun(state: State, run: Run, record: EventRecord, reason: string): void {
  patch(state.runs, run, { end: state.seq, ended: record.timestamp, reason });
  endSpan(state, run.id, record.timestamp, reason);
  endOpenWork(state, "cancelled");
}

/** Nothing is open any more: calls without a result will have none. */
export function endOpenWork(state: State, reason: string): void {
  for (const call of state.calls) {
    const row = toolEntry(state, call.id);
    if (row) patch(state.entries, row, { state: "cancelled" });
  }
  const run = openRun(state);
  if (run && !run.ended) patch(state.runs, run, { reason });
  state.calls = [];
  state.approvals = [];
  state.run = "";
  state.step = "";
  state.held = false;
  state.suspended = "";
}

/** The row of the open run. */
export function openRun(state: State): Run | undefined {
  return state.run ? last(state.runs, (row) => row.id === state.run) : undefined;
}

const errorRaised: Step = (state, event) => {
  total(state, { errors: 1 });
  notice(state, "ErrorRaised", short(event.message));
  mark(state, "failure");
};

const compacted: Step = (state, event) => {
  state.context = {
    ...state.context,
    compacted_seq: state.seq,
    dropped: count(event.dropped_count),
    before: count(event.tokens_before),
    after: count(event.tokens_after),
  };
  total(state, { compactions: 1 });
  const usage = event.token_usage;
  if (typeof usage === "object" && usage !== null && !Array.isArray(usage)) {
    spend(state, usage, count(usage.prompt_tokens), count(usage.completion_tokens));
  }
  notice(state, "ContextCompacted");
};

const contextFrozen: Step = (state, event) => {
  state.context = { ...state.context, frozen_seq: state.seq };
  blocks(state, "frozen", event);
};

const contextNoted: Step = (state, event) => {
  state.context = { ...state.context, noted_seq: state.seq };
  blocks(state, "noted", event);
};

const contextWindow: Step = (state, event) => {
  state.context = { ...state.context, window: count(event.window_tokens) };
};

function blocks(state: State, part: string, event: Fields): void {
  state.blocks = state.blocks.filter((block) => block.part !== part);
  for (const item of items(event.blocks)) {
    const told = fields(item);
    push(state, "blocks", {
      part,
      kind: text(told.kind),
      source: text(told.source),
      tokens: count(told.tokens),
      cut: told.cut === true,
      dropped: told.dropped === true,
    });
  }
}

const queued: Step = (state, event) => {
  const id = text(event.queue_id);
  if (last(state.queue, (row) => row.id === id)) return;
  push(state, "queue", { id, mode: text(event.mode), message: text(event.message), seq: state.seq });
};

const unqueued: Step = (state, event) => {
  const id = text(event.queue_id);
  state.queue = state.queue.filter((row) => row.id !== id);
};

const breakerTripped: Step = (state, event) => {
  state.breaker = true;
  notice(state, "CircuitBreakerTripped", short(event.reason));
  ruling(state, "CircuitBreakerTripped", short(event.reason));
  mark(state, "failure");
};

const paused: Step = (state) => {
  if (!state.run || state.held) return;
  state.held = true;
  notice(state, "arcan.run_paused");
};

const continued: Step = (state) => {
  if (!state.held) return;
  state.held = false;
  notice(state, "arcan.run_continued");
};

const suspended: Step = (state, event) => {
  if (!state.run || state.suspended) return;
  state.suspended = short(event.reason) || "suspended";
  notice(state, "arcan.suspended", state.suspended);
  ruling(state, "arcan.suspended", state.suspended);
};

const resumed: Step = (state, event) => {
  if (!state.suspended) return;
  state.suspended = "";
  notice(state, "arcan.resumed", short(event.reason));
  ruling(state, "arcan.resumed", short(event.reason));
};

const told = (type: string, key: string): Step => (state, event) => notice(state, type, short(member(event, key)));

export const RUNS: Record<string, Step> = {
  SessionCreated: sessionCreated,
  SessionResumed: sessionResumed,
  SessionClosed: sessionClosed,
  "arcan.session_deleted": sessionDeleted,
  "arcan.provider_set": providerSet,
  BranchCreated: branchCreated,
  BranchMerged: branchMerged,
  "arcan.branch_sealed": branchSealed,
  CheckpointRestored: restored,
  UserMessage: userMessage,
  RunStarted: runStarted,
  "arcan.run_limits": runLimits,
  StepStarted: stepStarted,
  StepFinished: stepFinished,
  Message: message,
  AssistantMessageCommitted: message,
  "arcan.reasoning": reasoning,
  RunFinished: runFinished,
  RunErrored: runErrored,
  ErrorRaised: errorRaised,
  ContextCompacted: compacted,
  "arcan.context_frozen": contextFrozen,
  "arcan.context_noted": contextNoted,
  "arcan.context_window": contextWindow,
  Queued: queued,
  Steered: unqueued,
  QueueDrained: unqueued,
  CircuitBreakerTripped: breakerTripped,
  "arcan.run_paused": paused,
  "arcan.run_continued": continued,
  "arcan.suspended": suspended,
  "arcan.resumed": resumed,
  "arcan.limit_reached": told("arcan.limit_reached", "limit"),
  "arcan.model_notice": told("arcan.model_notice", "reason"),
  "arcan.noted": told("arcan.noted", "text"),
  "arcan.files_placed": told("arcan.files_placed", ""),
};
