/** From an entry to its event: in this branch's journal, or in that of the branch that it was inherited from. */

import type { SessionView } from "../app/session.svelte";
import { route } from "../app/route.svelte";

export function toJournal(view: SessionView, entry: { seq: number; branch: string }): void {
  if (entry.branch === view.branch) route.set({ mid: "journal", event: entry.seq, pane: "mid" });
  else route.go(view.id, { ...(entry.branch === "main" ? {} : { branch: entry.branch }), mid: "journal", event: String(entry.seq), pane: "mid" });
}
