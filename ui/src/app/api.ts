/** Requests to the daemon that served the page. Errors carry its sentence and code. */

import type { EventRecord } from "../fold/record";
import type { State } from "../fold/state";

export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly nextStep = "") {
    super(message);
  }
}

export interface Block {
  session_id: string;
  branch: string;
  head: number;
  base: number;
  state: State;
  events: EventRecord[];
}

export interface Found {
  sequence: number;
  kind: string;
  timestamp: string;
}

export interface SessionSummary {
  session_id: string;
  name: string;
  owner: string;
  created_us: number;
  updated_us: number;
  head: number;
  state: "idle" | "open" | "closed";
}

export interface Branch {
  branch_id: string;
  name: string;
  parent_branch: string | null;
  fork_sequence: number;
  head_sequence: number;
  merged_into: string | null;
  created_us: number;
}

export interface WaitingCall {
  session_id: string;
  branch: string;
  approval_id: string;
  call_id: string;
  tool_name: string;
  arguments: unknown;
  risk: string;
  capabilities?: string[];
  asked_us: number;
  expires_us: number;
}

export interface PaymentQuestion {
  ticket_id: string;
  code: string;
  amount_micro: number;
  network: string;
  payee: string;
  resource_url: string;
  expires_at: string;
  reason?: string;
  expected?: string;
  session_id?: string;
}

export interface About {
  version: string;
  page: string;
  agent: string;
  agent_id: string;
  did: string;
  wallet: string;
  custody: string;
  provider: string;
  journal: string;
  uptime_seconds: number;
  stale: boolean;
  tools: string[];
  judge_bands: { good: number; warning: number };
  payments: {
    enabled: boolean;
    network: string;
    auto_approve_micro: number;
    most_per_payment_micro: number;
    most_per_session_micro: number;
  };
}

export interface IdentityReport {
  mission: string;
  soul_hash: string;
  generation: number;
  lifecycle: string;
  revoked: boolean;
  security: string;
  operations: string[];
  chain: { old_did: string; new_did: string; rotated_at: string }[];
  capability_ceiling: string[];
  economic_limits: { max_spend_per_tx_micro_credits: number; max_spend_per_session_micro_credits: number };
  grants: { capability: string; granted_by: string; granted_at: string }[];
  reputation: { overall_micro: number; tasks_completed: number; tasks_failed: number };
}

export interface Verified {
  holds: boolean;
  checked_us: number;
  checks: { name: string; outcome: "holds" | "fails" | "nothing"; told: string; count: number }[];
}

export interface Ruled {
  ruling: string;
  pressure: number;
  rationale: string;
  target_tokens: number | null;
  quality_score: number | null;
  context_window: number;
}

export interface ContextNow {
  context_window: number;
  tokens_used: number;
  pressure_percent: number;
  ruling: string;
}

export interface CostNow {
  balance_micro_credits: number | null;
  lifetime_costs_micro: number;
  cost_last_5min_micro: number;
  monthly_burn_micro: number;
  runway_days: number | null;
  tokens_used: number;
  tokens_remaining: number;
  economic_mode: string;
}

export interface DemoRecord {
  slug: string;
  name: string;
  description: string;
  language: string;
  chip: string;
  eyebrow: string;
  empty_title: string;
  empty_hint: string;
  suggestions: { label: string; prompt: string }[];
  billing: { mode: string; amount_micro: number; direction: string };
  estimate_micro: { typical: number; high: number } | null;
  panels: string[];
  simulated: string[];
  has_recording: boolean;
  recording_events: number;
  unavailable: string | null;
}

export interface Model {
  id: string;
  provider: string;
  label: string;
  input_micro_per_mtok: number | null;
  output_micro_per_mtok: number | null;
  priced_on: string | null;
  is_default: boolean;
  ready: boolean;
  why_not: string;
  why_code: string;
}

export interface ModelKey {
  provider: string;
  source: "stored" | "environment" | "none";
  variable: string;
  stored: boolean;
  set_at: string | null;
  address: string;
  readable: boolean;
}

export interface WorkspaceFile {
  path: string;
  size_bytes: number;
  modified_us: number;
}

async function problem(answer: Response): Promise<ApiError> {
  try {
    const told = await answer.json();
    return new ApiError(answer.status, String(told.code ?? ""), String(told.detail ?? told.title ?? answer.statusText), String(told.next_step ?? ""));
  } catch {
    return new ApiError(answer.status, "", answer.statusText || `HTTP ${answer.status}`);
  }
}

async function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError(0, "unreachable", "The daemon does not answer.");
  }
  if (!answer.ok) throw await problem(answer);
  return answer;
}

export async function get<T>(path: string): Promise<T> {
  return (await ask("GET", path)).json();
}

export async function send<T>(method: string, path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<T | null> {
  const answer = await ask(method, path, body, headers);
  return answer.status === 204 ? null : answer.json();
}

export async function text(path: string): Promise<string> {
  return (await ask("GET", path)).text();
}

/** A path of one session, its parts escaped. */
export function at(session: string, rest: string, query: Record<string, string | number> = {}): string {
  const given = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString();
  return `/sessions/${encodeURIComponent(session)}${rest}${given ? `?${given}` : ""}`;
}
