/** Knowledge: notes with `[[links]]` that calls write, and what searches lead to (`life.workspace.note_folds`). */

import { patch, push } from "./rows";
import type { State } from "./state";
import { fields, items, short, text, type Fields, type Json } from "./values";

const LINK = /\[\[([^\[\]|#\n]{1,120})/gu;
const MOST_LINKS = 20;
const MOST_FOUND = 12;
const SEARCHES: Readonly<Record<string, string>> = { memory_search: "matches", knowledge_search: "results" };
const isSearch = (tool: string): boolean => Object.hasOwn(SEARCHES, tool);

/** The targets of a text's links, each once. */
export function linksIn(content: string): string[] {
  const found: string[] = [];
  for (const match of content.matchAll(LINK)) {
    const target = (match[1] ?? "").replace(/^ +| +$/g, "");
    if (!target || found.includes(target)) continue;
    found.push(target);
    if (found.length === MOST_LINKS) break;
  }
  return found;
}

/** A call is asked for, or has other arguments now. */
export function noted(state: State, call: string, tool: string, told: Json | undefined): void {
  if (state.notes.some((row) => row.call === call)) state.notes = state.notes.filter((row) => row.call !== call);
  const given = fields(told);
  const asked = (kind: string, id: string, links: string[]): void =>
    push(state, "notes", { seq: state.seq, branch: state.branch, call, kind, id, links, ref: "", state: "asked" });
  if (tool === "write_memory") asked("memory", short(given.key), linksIn(text(given.content)));
  else if (tool === "memory_propose") {
    for (const item of items(given.entries).slice(0, MOST_FOUND)) {
      const content = text(fields(item).content);
      const links = linksIn(content);
      if (links.length) asked("memory", short(content, 60), links);
    }
  } else if (tool === "write_file") {
    const links = linksIn(text(given.content));
    if (links.length) asked("file", short(given.path), links);
  } else if (isSearch(tool)) asked("search", short(given.query), []);
}

/** The call ended. */
export function answered(state: State, call: string, tool: string, status: string, result: Json | undefined): void {
  const told = fields(result);
  for (const row of state.notes.filter((each) => each.call === call && each.state === "asked")) {
    const links = row.kind === "search" && status === "ok" ? foundIn(told, isSearch(tool) ? (SEARCHES[tool] as string) : "") : row.links;
    patch(state.notes, row, { state: status === "ok" ? "ok" : "failed", links, ref: row.kind === "memory" ? short(told.id) : "" });
  }
  if (tool !== "memory_graph" || status !== "ok") return;
  for (const item of items(told.notes).slice(0, MOST_FOUND)) {
    const note = fields(item);
    const links = items(note.links).filter((each) => text(each)).map((each) => short(each, 120)).slice(0, MOST_LINKS);
    push(state, "notes", { seq: state.seq, branch: state.branch, call, kind: "found", id: nameOf(note), links, ref: "", state: "ok" });
  }
}

function foundIn(told: Fields, key: string): string[] {
  return items(Object.hasOwn(told, key) ? told[key] : undefined).slice(0, MOST_FOUND).map((item) => nameOf(fields(item))).filter(Boolean);
}

function nameOf(told: Fields): string {
  return short(told.name) || short(told.path) || short(told.id);
}
