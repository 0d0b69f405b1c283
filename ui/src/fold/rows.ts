/** Keeping rows (`life.workspace.rows`). Rows are never changed in place, so that what was published stays as it was. */

import { CAPS, newEntry, type Entry, type State } from "./state";
import { capped } from "./values";

type Lists = { [K in keyof State]: State[K] extends (infer R)[] ? R : never };
type ListName = keyof typeof CAPS & keyof State;

/** Append a row; over the list's cap the oldest leaves. */
export function push<N extends ListName>(state: State, name: N, row: Lists[N]): void {
  const rows = state[name] as unknown as Lists[N][];
  rows.push(row);
  if (rows.length > CAPS[name]) rows.shift();
}

/** The newest row that fits. */
export function last<R>(rows: R[], fits: (row: R) => boolean): R | undefined {
  return rows.findLast(fits);
}

/** Put a changed copy in a row's place; gives the copy. */
export function patch<R>(rows: R[], row: R, changes: Partial<R>): R {
  const changed = { ...row, ...changes };
  rows[rows.lastIndexOf(row)] = changed;
  return changed;
}

/** A new entry of the conversation. */
export function entry(state: State, given: Parameters<typeof newEntry>[0]): void {
  state.entries.push(newEntry(given));
  if (state.entries.length > CAPS.entries) {
    state.entries.shift();
    state.dropped = capped(state.dropped + 1);
  }
}

/** The newest entry of a call. */
export function toolEntry(state: State, call: string): Entry | undefined {
  return last(state.entries, (row) => row.kind === "tool" && row.ref === call);
}

/** An event that the conversation mentions in one line. */
export function notice(state: State, type: string, detail = ""): void {
  entry(state, { seq: state.seq, branch: state.branch, kind: "notice", ref: type, detail });
}

/** A point on the mini-map. */
export function mark(state: State, kind: string): void {
  push(state, "marks", { seq: state.seq, kind });
}

/** A word of the regulator. */
export function ruling(state: State, type: string, detail = ""): void {
  push(state, "rulings", { seq: state.seq, type, detail });
}

/** Add to the session's counters. */
export function total(state: State, added: Partial<State["totals"]>): void {
  const totals = { ...state.totals };
  for (const name of Object.keys(added) as (keyof State["totals"])[]) {
    totals[name] = capped(totals[name] + (added[name] ?? 0));
  }
  state.totals = totals;
}
