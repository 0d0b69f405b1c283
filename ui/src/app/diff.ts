/** What changed between two texts, line by line (the shortest edit, Myers 1986). */

export interface Line {
  kind: " " | "+" | "-";
  text: string;
  old: number;
  now: number;
}

const MOST_EDITS = 1500;

export function diff(before: string, after: string): Line[] {
  const a = before === "" ? [] : before.replace(/\n$/, "").split("\n");
  const b = after === "" ? [] : after.replace(/\n$/, "").split("\n");
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const middle = edits(a.slice(start, a.length - end), b.slice(start, b.length - end));
  const kinds = [...Array<" ">(start).fill(" "), ...middle, ...Array<" ">(end).fill(" ")];
  let old = 0;
  let now = 0;
  return kinds.map((kind) => {
    const text = kind === "+" ? (b[now] as string) : (a[old] as string);
    if (kind !== "+") old++;
    if (kind !== "-") now++;
    return { kind, text, old: kind === "+" ? 0 : old, now: kind === "-" ? 0 : now };
  });
}

function edits(a: string[], b: string[]): Line["kind"][] {
  const all = (): Line["kind"][] => [...a.map((): "-" => "-"), ...b.map((): "+" => "+")];
  if (!a.length || !b.length) return all();
  const most = Math.min(a.length + b.length, MOST_EDITS);
  const trace: Map<number, number>[] = [];
  let reached = new Map<number, number>([[1, 0]]);
  for (let d = 0; d <= most; d++) {
    trace.push(new Map(reached));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reached.get(k - 1) ?? -1) < (reached.get(k + 1) ?? -1));
      let x = down ? (reached.get(k + 1) ?? 0) : (reached.get(k - 1) ?? 0) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      reached.set(k, x);
      if (x >= a.length && x - k >= b.length) return walk(trace, a.length, b.length);
    }
    reached = new Map(reached);
  }
  return all();
}

function walk(trace: Map<number, number>[], x: number, y: number): Line["kind"][] {
  const kinds: Line["kind"][] = [];
  for (let d = trace.length - 1; d > 0; d--) {
    const reached = trace[d] as Map<number, number>;
    const k = x - y;
    const down = k === -d || (k !== d && (reached.get(k - 1) ?? -1) < (reached.get(k + 1) ?? -1));
    const from = down ? k + 1 : k - 1;
    const beforeX = reached.get(from) ?? 0;
    const beforeY = beforeX - from;
    while (x > beforeX && y > beforeY && x > 0 && y > 0 && !(down ? x === beforeX : y === beforeY)) {
      kinds.push(" ");
      x--;
      y--;
    }
    kinds.push(down ? "+" : "-");
    x = beforeX;
    y = beforeY;
  }
  while (x > 0 && y > 0) {
    kinds.push(" ");
    x--;
    y--;
  }
  return kinds.reverse();
}
