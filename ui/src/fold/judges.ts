/** Evaluators (`eval.*`) and demos (`demo.*`) (`life.workspace.judge_folds`). */

import { mark, notice, push } from "./rows";
import type { Step } from "./runs";
import { count, fields, fraction, items, short, text, texts } from "./values";

const scored: Step = (state, event) => {
  push(state, "scores", {
    seq: state.seq, evaluator: short(event.evaluator, 100), value: fraction(event.score), label: text(event.label), layer: text(event.layer),
    timing: "inline", run: text(event.run_id), why: short(event.explanation, 600),
  });
  push(state, "judge", { seq: state.seq, type: "eval.InlineCompleted", detail: short(event.explanation) });
};

const judged: Step = (state, event) => {
  for (const item of items(event.scores).slice(0, 20)) {
    const told = fields(item);
    push(state, "scores", {
      seq: state.seq, evaluator: short(told.evaluator, 100), value: fraction(told.value), label: text(told.label), layer: text(told.layer),
      timing: "async", run: text(event.run_id), why: short(told.explanation, 600) || short(event.explanation, 600),
    });
  }
  push(state, "judge", { seq: state.seq, type: "eval.AsyncCompleted", detail: short(event.evaluator) });
};

const qualityChanged: Step = (state, event) => {
  state.quality = {
    seq: state.seq, value: fraction(event.aggregate_quality), trend: fraction(event.trend),
    inline: count(event.inline_count), judged: count(event.async_count),
  };
  push(state, "judge", { seq: state.seq, type: "eval.QualityChanged", detail: "" });
};

const demoOpened: Step = (state, event) => {
  state.demo = { seq: state.seq, slug: short(event.slug, 100), how: text(event.how), simulated: texts(event.simulated).map((line) => short(line)) };
};

const branchOffered: Step = (state, event) => {
  const title = short(event.title, 200);
  push(state, "offers", { seq: state.seq, title, reason: short(event.reason, 600), before: count(event.before_sequence), message: short(event.message, 2000) });
  notice(state, "demo.branch_offered", title);
  mark(state, "fork");
};

export const JUDGES: Record<string, Step> = {
  "eval.InlineCompleted": scored,
  "eval.AsyncCompleted": judged,
  "eval.QualityChanged": qualityChanged,
  "demo.opened": demoOpened,
  "demo.branch_offered": branchOffered,
};
