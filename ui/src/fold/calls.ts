/** Tool calls, the gate, approvals and doubts (`life.workspace.call_folds`). */

import { answered, noted } from "./notes";
import { entry, last, mark, notice, patch, push, toolEntry, total } from "./rows";
import { endSpan, openRun, openSpan, type Step } from "./runs";
import type { State } from "./state";
import { capped, count, fields, member, short, text, texts, type Json } from "./values";

const TARGETS = [
  "path", "command", "url", "query", "pattern", "name", "objective", "agent", "text",
  "key", "title", "question", "peer", "channel", "hire_id", "skill", "start", "proposal_id",
];
const FAILED = ["error", "timeout", "failed", "refused", "expired"];

const requested: Step = (state, event) => {
  const call = text(event.call_id);
  const tool = short(event.tool_name, 100);
  const phase = text(event.category) === "client" ? "client" : "requested";
  push(state, "calls", { id: call, tool, seq: state.seq, run: "", state: phase });
  entry(state, {
    seq: state.seq, branch: state.branch, kind: "tool", ref: call, label: tool, state: phase, detail: target(event.arguments),
  });
  noted(state, call, tool, event.arguments);
  total(state, { calls: 1 });
  const run = openRun(state);
  if (run) patch(state.runs, run, { calls: capped(run.calls + 1) });
};

/** What the call is pointed at, or nothing. */
export function target(given: Json | undefined): string {
  const told = fields(given);
  for (const name of TARGETS) {
    const found = short(member(told, name));
    if (found) return found;
  }
  return "";
}

const evaluated: Step = (state, event) => {
  const tool = short(event.tool_name, 100);
  const allows = text(event.decision) === "allow";
  const denies = text(event.decision) === "deny";
  const call = last(state.calls, (row) => row.tool === tool && row.state === "requested");
  if (denies) total(state, { denied: 1 });
  if (!call) return;
  const row = toolEntry(state, call.id);
  if (row) patch(state.entries, row, { rule: short(event.rule_id), why: allows ? "" : short(event.explanation) });
  if (denies) patch(state.calls, call, { state: "refused" });
};

const approvalRequested: Step = (state, event, record) => {
  const id = text(event.approval_id);
  const call = text(event.call_id);
  push(state, "approvals", {
    id, call, tool: short(event.tool_name, 100), risk: text(event.risk), seq: state.seq, asked: record.timestamp,
    capabilities: texts(event.capabilities),
  });
  total(state, { approvals: 1 });
  const row = toolEntry(state, call);
  if (row) patch(state.entries, row, { approval: id });
  phase(state, call, "waiting");
  mark(state, "approval");
};

const approvalResolved: Step = (state, event) => {
  const id = text(event.approval_id);
  const decision = text(event.decision);
  const asked = last(state.approvals, (row) => row.id === id);
  if (!asked) return;
  state.approvals = state.approvals.filter((row) => row.id !== id);
  push(state, "decisions", {
    id, call: asked.call, tool: asked.tool, risk: asked.risk, asked_seq: asked.seq, seq: state.seq, decision,
    reason: short(event.reason),
  });
  if (decision !== "approved") total(state, { denied: 1 });
  phase(state, asked.call, decision === "approved" ? "approved" : decision === "timeout" ? "expired" : "refused");
};

const started: Step = (state, event, record) => {
  const call = text(event.call_id);
  const run = text(event.tool_run_id);
  phase(state, call, "running");
  const row = last(state.calls, (each) => each.id === call);
  if (row) patch(state.calls, row, { run });
  openSpan(state, run, state.step || state.run, "tool", short(event.tool_name, 100), record.timestamp);
};

const completed: Step = (state, event, record) => {
  const run = text(event.tool_run_id);
  const status = text(event.status);
  const call = text(event.call_id) || (last(state.calls, (each) => each.run === run)?.id ?? run);
  answered(state, call, short(event.tool_name, 100), status, event.result);
  end(state, call, status, count(event.duration_ms));
  endSpan(state, run, record.timestamp, status);
};

const failed: Step = (state, event, record) => {
  const call = text(event.call_id);
  const found = last(state.calls, (each) => each.id === call);
  const status = found && (found.state === "refused" || found.state === "expired") ? found.state : "failed";
  if (found?.run) endSpan(state, found.run, record.timestamp, status);
  answered(state, call, "", status, null);
  end(state, call, status, 0);
};

function end(state: State, call: string, status: string, ms: number): void {
  state.calls = state.calls.filter((row) => row.id !== call);
  state.approvals = state.approvals.filter((row) => row.call !== call);
  const row = toolEntry(state, call);
  if (row) patch(state.entries, row, { state: status, end: state.seq, ms });
  if (status === "ok") return total(state, { ok: 1 });
  total(state, { failed: 1 });
  const run = openRun(state);
  if (run) patch(state.runs, run, { failed: capped(run.failed + 1) });
  if (FAILED.includes(status)) mark(state, "failure");
}

function phase(state: State, call: string, now: string): void {
  const found = last(state.calls, (each) => each.id === call);
  if (!found) return;
  patch(state.calls, found, { state: now });
  const row = toolEntry(state, call);
  if (row) patch(state.entries, row, { state: now });
}

const callEdited: Step = (state, event) => {
  const call = text(event.call_id);
  const row = toolEntry(state, call);
  if (row) {
    patch(state.entries, row, { detail: target(event.arguments) });
    noted(state, call, row.label, event.arguments);
  }
  notice(state, "arcan.call_edited", short(event.by));
};

const ruleAdded: Step = (state, event) => {
  const id = text(event.rule_id);
  if (!last(state.rules, (row) => row.id === id)) {
    push(state, "rules", {
      id, tool: short(event.tool_name, 100), patterns: texts(event.patterns), by: text(event.by), seq: state.seq,
    });
  }
  notice(state, "arcan.rule_added", short(event.tool_name, 100));
};

const ruleRevoked: Step = (state, event) => {
  const id = text(event.rule_id);
  state.rules = state.rules.filter((row) => row.id !== id);
  notice(state, "arcan.rule_revoked", short(event.by));
};

const inDoubt: Step = (state, event) => {
  phase(state, text(event.call_id), "in_doubt");
  notice(state, "arcan.run_in_doubt", short(event.explanation));
  mark(state, "approval");
};

const doubtResolved: Step = (state, event) => {
  const call = text(event.call_id);
  const found = last(state.calls, (each) => each.id === call);
  if (found?.state === "in_doubt") phase(state, call, "approved");
  notice(state, "arcan.doubt_resolved", short(event.decision));
};

const violation: Step = (state, event) => {
  notice(state, "policy.violation", short(event.subject));
  mark(state, "failure");
};

export const CALLS: Record<string, Step> = {
  ToolCallRequested: requested,
  PolicyEvaluated: evaluated,
  ApprovalRequested: approvalRequested,
  ApprovalResolved: approvalResolved,
  ToolCallStarted: started,
  ToolCallCompleted: completed,
  ToolCallFailed: failed,
  "arcan.call_edited": callEdited,
  "arcan.rule_added": ruleAdded,
  "arcan.rule_revoked": ruleRevoked,
  "arcan.run_in_doubt": inDoubt,
  "arcan.doubt_resolved": doubtResolved,
  "policy.violation": violation,
};
