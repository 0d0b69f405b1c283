/** The knowledge graph of a position: nodes by name, edges by link, and a place for each that is the same every time. */

import type { State } from "../fold/state";

export interface Node {
  key: string;
  label: string;
  /** memory, file, search, found, or mentioned: a link that leads to nothing that was written here. */
  kind: string;
  seq: number;
  branch: string;
  /** Since the last run began. */
  fresh: boolean;
  failed: boolean;
}

export interface Edge {
  from: string;
  to: string;
  /** By a search. */
  found: boolean;
}

export interface Graph {
  nodes: Node[];
  edges: Edge[];
}

const MOST = 120;
const RANK: Record<string, number> = { mentioned: 0, found: 1, search: 2, file: 3, memory: 3 };

/** Names that mean one note: without folder, ending and case. */
const keyOf = (name: string): string => name.toLowerCase().replace(/^.*\//, "").replace(/\.md$/, "").trim();

export function graphOf(state: State): Graph {
  const nodes = new Map<string, Node>();
  const edges = new Map<string, Edge>();
  const since = state.runs.at(-1)?.seq ?? 0;
  const meet = (key: string, label: string, kind: string, seq = 0, branch = state.branch): void => {
    const known = nodes.get(key);
    if (known && (RANK[known.kind] ?? 0) > (RANK[kind] ?? 0)) return;
    nodes.set(key, { key, label, kind, seq, branch, fresh: branch === state.branch && seq > since && since > 0, failed: false });
  };
  /** Searches of memory name what they find by its id. */
  const byRef = new Map(state.notes.filter((note) => note.ref).map((note) => [note.ref, note.id]));
  for (const note of state.notes.slice(-MOST)) {
    const from = note.kind === "search" ? `? ${note.id}` : keyOf(note.id);
    if (!from) continue;
    meet(from, note.id, note.kind, note.seq, note.branch);
    const made = nodes.get(from);
    if (made) made.failed = note.state === "failed";
    for (const told of note.links) {
      const link = byRef.get(told) ?? told;
      const to = keyOf(link);
      if (!to || to === from) continue;
      meet(to, link, note.kind === "search" ? "found" : "mentioned");
      edges.set(`${from} ${to}`, { from, to, found: note.kind === "search" });
    }
  }
  return { nodes: [...nodes.values()].slice(-MOST), edges: [...edges.values()] };
}

interface Place { x: number; y: number }

/** Springs and repulsion from a ring, always the same number of rounds: the same graph, the same picture. */
export function placed(graph: Graph): Map<string, Place> {
  const count = graph.nodes.length;
  const index = new Map(graph.nodes.map((node, at) => [node.key, at]));
  const x = new Float64Array(count);
  const y = new Float64Array(count);
  for (let at = 0; at < count; at++) {
    const turn = (at / Math.max(1, count)) * 2 * Math.PI;
    x[at] = 320 + 210 * Math.cos(turn);
    y[at] = 200 + 130 * Math.sin(turn);
  }
  const rounds = count > 60 ? 80 : 160;
  for (let round = 0; round < rounds; round++) {
    const step = 0.9 * (1 - round / rounds) + 0.1;
    const dx = new Float64Array(count);
    const dy = new Float64Array(count);
    const pull = (one: number, other: number, force: (distance: number) => number): void => {
      const vx = (x[other] ?? 0) - (x[one] ?? 0);
      const vy = ((y[other] ?? 0) - (y[one] ?? 0)) * 1.5;
      const distance = Math.max(4, Math.hypot(vx, vy));
      const by = force(distance) / distance;
      dx[one] = (dx[one] ?? 0) + vx * by;
      dy[one] = (dy[one] ?? 0) + (vy * by) / 1.5;
      dx[other] = (dx[other] ?? 0) - vx * by;
      dy[other] = (dy[other] ?? 0) - (vy * by) / 1.5;
    };
    for (let one = 0; one < count; one++) for (let other = one + 1; other < count; other++) pull(one, other, (distance) => -2600 / distance);
    for (const edge of graph.edges) {
      const from = index.get(edge.from);
      const to = index.get(edge.to);
      if (from !== undefined && to !== undefined) pull(from, to, (distance) => (distance - 95) * 0.28);
    }
    for (let at = 0; at < count; at++) {
      const push = Math.min(18, Math.hypot(dx[at] ?? 0, dy[at] ?? 0));
      const length = Math.max(0.01, Math.hypot(dx[at] ?? 0, dy[at] ?? 0));
      x[at] = Math.max(60, Math.min(580, (x[at] ?? 0) + ((dx[at] ?? 0) / length) * push * step + (320 - (x[at] ?? 0)) * 0.012));
      y[at] = Math.max(30, Math.min(380, (y[at] ?? 0) + ((dy[at] ?? 0) / length) * push * step + (200 - (y[at] ?? 0)) * 0.012));
    }
  }
  return new Map(graph.nodes.map((node, at) => [node.key, { x: Math.round((x[at] ?? 0) * 10) / 10, y: Math.round((y[at] ?? 0) * 10) / 10 }]));
}
