/** An event in one line, and the family it belongs to. */

import { content, kindName, type EventRecord } from "../fold/record";
import { target } from "../fold/calls";
import { duration, usd } from "./format";

export type Family = "spaces" | "talk" | "run" | "tool" | "file" | "policy" | "state" | "memory" | "money" | "identity" | "judge" | "session" | "other";

export const FAMILIES: Record<Exclude<Family, "other">, string[]> = {
  talk: ["UserMessage", "Message", "AssistantMessageCommitted", "Queued", "Steered", "QueueDrained", "arcan.reasoning", "arcan.noted"],
  run: ["Run", "Step", "Phase", "Deliberation", "arcan.run_", "arcan.limit", "arcan.model", "Error", "CircuitBreaker"],
  tool: ["Tool", "Sandbox", "Kernel", "arcan.tool", "arcan.call", "arcan.subagent"],
  file: ["File", "arcan.files"],
  policy: ["Policy", "Approval", "Intent", "arcan.rule", "arcan.policy", "policy.", "arcan.doubt"],
  state: ["State", "Budget", "Mode", "Gates", "Heartbeat", "Context", "arcan.context", "arcan.regulated", "autonomic."],
  memory: ["Memory", "Knowledge", "Observation", "Reflection", "skill."],
  money: ["finance."],
  identity: ["anima."],
  judge: ["eval."],
  spaces: ["spaces.", "Hive"],
  session: ["Session", "Branch", "Checkpoint", "Snapshot", "arcan.branch", "arcan.session", "arcan.provider", "demo."],
};

export function family(name: string): Family {
  for (const [found, beginnings] of Object.entries(FAMILIES)) {
    if (beginnings.some((beginning) => name.startsWith(beginning))) return found as Family;
  }
  return "other";
}

const WORDS = ["title", "question", "content", "message", "error", "explanation", "reason", "summary", "note", "query", "path", "name", "objective", "text"];

/** What the event says, in one line. */
export function summary(record: EventRecord): string {
  const told = content(record);
  const text = (name: string): string => (typeof told[name] === "string" ? (told[name] as string) : "");
  const number = (name: string): number => (typeof told[name] === "number" ? (told[name] as number) : 0);
  switch (kindName(record)) {
    case "ToolCallRequested":
      return `${text("tool_name")} ${target(told.arguments)}`;
    case "ToolCallStarted":
      return text("tool_name");
    case "ToolCallCompleted":
      return `${text("tool_name")} · ${text("status")} · ${duration(number("duration_ms"))}`;
    case "ToolCallFailed":
      return `${text("tool_name")} · ${text("error")}`;
    case "PolicyEvaluated":
      return `${text("tool_name")} · ${text("decision")} · ${text("explanation")}`;
    case "ApprovalRequested":
      return `${text("tool_name")} ${target(told.arguments)} · ${text("risk")}`;
    case "ApprovalResolved":
      return [text("decision"), text("reason")].filter(Boolean).join(" · ");
    case "RunStarted":
      return text("specification") || text("provider");
    case "StepStarted":
      return `#${number("index")}`;
    case "StepFinished":
      return `#${number("index")} · ${text("stop_reason")}`;
    case "RunFinished":
      return [text("reason"), text("final_answer")].filter(Boolean).join(" · ");
    case "FileWrite":
      return `${text("path")} · ${number("size_bytes")} B`;
    case "FileRename":
      return `${text("old_path")} → ${text("new_path")}`;
    case "ModeChanged":
      return `${text("from")} → ${text("to")}`;
    case "StateEstimated":
      return text("mode");
    case "SandboxExecuted":
      return `${text("command")} · ${number("exit_code")}`;
    case "BranchCreated":
      return `${text("name")} · #${number("fork_point_seq")}`;
    case "eval.InlineCompleted":
      return `${text("evaluator")} · ${number("score")} · ${text("label")}`;
    case "spaces.hired":
    case "spaces.hire_changed":
      return `${text("title")} · ${text("state")} · ${usd(number("price_micro"))}`;
    default: {
      const amount = number("amount_micro") || number("amount_micro_credits");
      const words = WORDS.map(text).find(Boolean) ?? "";
      return [amount ? usd(amount) : "", text("resource_url"), words].filter(Boolean).join(" · ");
    }
  }
}
