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
  payments: {
    enabled: boolean;
    network: string;
    auto_approve_micro: number;
    most_per_payment_micro: number;
    most_per_session_micro: number;
  };
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
