/** Money: `finance.*`, of a session or of a wallet's own stream (`life.workspace.money_folds`). */

import { entry, last, mark, patch, push, total } from "./rows";
import type { State } from "./state";
import { count, short, text, type Fields } from "./values";

const STATES: Record<string, string> = {
  "finance.payment_requested": "asked",
  "finance.payment_reserved": "reserved",
  "finance.payment_authorized": "signed",
  "finance.payment_signed": "signed",
  "finance.payment_attempted": "sent",
  "finance.payment_submitted": "sent",
  "finance.payment_claimed": "claimed",
  "finance.payment_cancelling": "cancelling",
  "finance.payment_ambiguous": "unknown",
  "finance.payment_settled": "settled",
  "finance.payment_failed": "failed",
  "finance.payment_released": "released",
  "finance.payment_declined": "declined",
  "finance.revenue_received": "earned",
};

const FINAL = ["settled", "failed", "released", "declined", "earned"];

/** One `finance.*` event. */
export function money(state: State, name: string, event: Fields): void {
  if (!Object.hasOwn(STATES, name)) return;
  let now = STATES[name] as string;
  const id = text(event.payment_id) || text(event.purchase_id) || text(event.tx_hash);
  let row = id ? last(state.payments, (each) => each.id === id) : undefined;
  const was = row?.state ?? "";
  if (FINAL.includes(was) && !FINAL.includes(now)) now = was; // a signature may be told after the outcome
  if (!row) {
    row = {
      id, state: now, seq: state.seq, time: state.time, amount_micro: 0, payee: "", resource: "", network: "", tx: "",
      reason: "", session: "",
    };
    push(state, "payments", row);
    entry(state, { seq: state.seq, branch: state.branch, kind: "payment", ref: id });
  }
  row = patch(state.payments, row, {
    state: now,
    seq: state.seq,
    time: state.time,
    amount_micro: count(event.amount_micro) || count(event.amount_micro_credits) || row.amount_micro,
    payee: text(event.payee) || text(event.recipient_address) || row.payee,
    resource: short(event.resource_url, 300) || row.resource,
    network: text(event.network) || text(event.chain) || row.network,
    tx: text(event.tx_hash) || row.tx,
    reason: short(event.reason, 300),
    session: text(event.session_id) || row.session,
  });
  mark(state, "payment");
  if (now === was) return; // told again
  if (now === "settled") total(state, { spent_micro: row.amount_micro, payments: 1 });
  else if (now === "earned") total(state, { earned_micro: row.amount_micro });
}
