/** The canonical event, as the journal, the stream and the export carry it. */

import type { Json } from "./values";

export interface EventRecord {
  event_id: string;
  session_id: string;
  agent_id: string;
  branch_id: string;
  /** 1.. per branch; 0 marks a piece of text that is being written. */
  sequence: number;
  timestamp: string;
  actor: { type: string; component?: string };
  causation_id?: string;
  correlation_id?: string;
  trace_id?: string;
  span_id?: string;
  digest?: string;
  kind: { type: string; [name: string]: Json };
}

/** The kind's name: of an extension event its dotted type. */
export function kindName(record: EventRecord): string {
  const kind = record.kind;
  return kind.type === "Custom" && typeof kind.event_type === "string" ? kind.event_type : kind.type;
}

/** What the event says: of an extension event its data. */
export function content(record: EventRecord): { [name: string]: Json } {
  const kind = record.kind;
  if (kind.type !== "Custom") return kind;
  const data = kind.data;
  return typeof data === "object" && data !== null && !Array.isArray(data) ? data : {};
}
