/** Spans on an axis of time on which long waits are short. */

import type { Span } from "../fold/state";

const LONGEST_MS = 2000;

export interface Axis {
  /** A time of the journal, as a fraction of the axis. */
  at(timestamp: string): number;
  total: number;
  shortened: boolean;
}

export function axis(spans: Span[], now: string): Axis {
  const times = [...new Set(spans.flatMap((span) => [span.started, span.ended || now]).map((time) => Date.parse(time)))].filter(Number.isFinite).sort((a, b) => a - b);
  const places = new Map<number, number>();
  let place = 0;
  let shortened = false;
  times.forEach((time, index) => {
    const gap = index ? time - (times[index - 1] as number) : 0;
    if (gap > LONGEST_MS) shortened = true;
    place += Math.min(gap, LONGEST_MS);
    places.set(time, place);
  });
  const total = Math.max(1, place);
  return { at: (timestamp) => (places.get(Date.parse(timestamp)) ?? 0) / total, total, shortened };
}

/** Spans in the order of a tree, with their depth. */
export function tree(spans: Span[]): { span: Span; depth: number }[] {
  const children = new Map<string, Span[]>();
  const ids = new Set(spans.map((span) => span.id));
  for (const span of spans) {
    const parent = ids.has(span.parent) ? span.parent : "";
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const found: { span: Span; depth: number }[] = [];
  const walk = (parent: string, depth: number): void => {
    for (const span of children.get(parent) ?? []) {
      found.push({ span, depth });
      if (span.id) walk(span.id, depth + 1);
    }
  };
  walk("", 0);
  return found;
}
