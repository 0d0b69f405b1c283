/** A small Markdown, into a tree that is drawn as elements. Markup in the text is text: nothing here makes HTML. */

export type Inline =
  | { type: "text"; text: string }
  | { type: "code"; text: string }
  | { type: "strong" | "em" | "del"; parts: Inline[] }
  | { type: "link"; href: string; parts: Inline[] };

export type BlockNode =
  | { type: "p"; parts: Inline[] }
  | { type: "h"; level: number; parts: Inline[] }
  | { type: "code"; language: string; text: string }
  | { type: "list"; ordered: boolean; start: number; items: BlockNode[][] }
  | { type: "quote"; blocks: BlockNode[] }
  | { type: "table"; head: Inline[][]; rows: Inline[][][] }
  | { type: "hr" };

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const ITEM = /^( {0,3})([-*+]|(\d{1,9})[.)])\s+(.*)$/;
const MOST_DEPTH = 6;

export function blocks(text: string, depth = 0): BlockNode[] {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const found: BlockNode[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] as string;
    if (!line.trim()) {
      at++;
      continue;
    }
    const fence = FENCE.exec(line);
    if (fence) {
      const mark = fence[1] as string;
      const code: string[] = [];
      at++;
      while (at < lines.length && !(lines[at] as string).trimStart().startsWith(mark)) code.push(lines[at++] as string);
      at++;
      found.push({ type: "code", language: fence[2] ?? "", text: code.join("\n") });
      continue;
    }
    const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    if (heading) {
      found.push({ type: "h", level: (heading[1] as string).length, parts: inline(heading[2] as string) });
      at++;
      continue;
    }
    if (/^ {0,3}([-*_])( *\1){2,} *$/.test(line)) {
      found.push({ type: "hr" });
      at++;
      continue;
    }
    if (/^ {0,3}>/.test(line) && depth < MOST_DEPTH) {
      const quoted: string[] = [];
      while (at < lines.length && /^ {0,3}>/.test(lines[at] as string)) quoted.push((lines[at++] as string).replace(/^ {0,3}> ?/, ""));
      found.push({ type: "quote", blocks: blocks(quoted.join("\n"), depth + 1) });
      continue;
    }
    const item = ITEM.exec(line);
    if (item && depth < MOST_DEPTH) {
      const [list, next] = listFrom(lines, at, depth);
      found.push(list);
      at = next;
      continue;
    }
    if (line.includes("|") && /^ {0,3}\|?[\s:|-]*-[\s:|-]*$/.test(lines[at + 1] ?? "") && (lines[at + 1] ?? "").includes("|")) {
      const head = cells(line);
      const rows: Inline[][][] = [];
      at += 2;
      while (at < lines.length && (lines[at] as string).includes("|")) rows.push(cells(lines[at++] as string));
      found.push({ type: "table", head, rows });
      continue;
    }
    const paragraph: string[] = [];
    while (at < lines.length && (lines[at] as string).trim() && !FENCE.test(lines[at] as string) && !(paragraph.length && (ITEM.test(lines[at] as string) || /^ {0,3}(#{1,6}\s|>)/.test(lines[at] as string)))) {
      paragraph.push(lines[at++] as string);
    }
    found.push({ type: "p", parts: inline(paragraph.join("\n")) });
  }
  return found;
}

function listFrom(lines: string[], from: number, depth: number): [BlockNode, number] {
  const first = ITEM.exec(lines[from] as string) as RegExpExecArray;
  const ordered = first[3] !== undefined;
  const items: BlockNode[][] = [];
  let at = from;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at] as string);
    if (!item || (item[3] !== undefined) !== ordered) break;
    const body = [item[4] as string];
    at++;
    while (at < lines.length && (/^( {2,}|\t)/.test(lines[at] as string) || (!(lines[at] as string).trim() && /^( {2,}|\t)/.test(lines[at + 1] ?? "")))) {
      body.push((lines[at++] as string).replace(/^(\t| {1,4})/, ""));
    }
    items.push(blocks(body.join("\n"), depth + 1));
    if (at < lines.length && !(lines[at] as string).trim() && ITEM.test(lines[at + 1] ?? "")) at++;
  }
  return [{ type: "list", ordered, start: Number(first[3] ?? 1), items }, at];
}

function cells(line: string): Inline[][] {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => inline(cell.trim()));
}

const INLINE = /(`+)([\s\S]+?)\1|\*\*([\s\S]+?)\*\*|__([\s\S]+?)__|~~([\s\S]+?)~~|\*([^\s*][\s\S]*?)\*|\b_([^\s_][\s\S]*?)_\b|\[([^\]]+)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>()\]]+)/;

export function inline(text: string, depth = 0): Inline[] {
  const parts: Inline[] = [];
  let rest = text;
  while (rest) {
    const match = depth < MOST_DEPTH ? INLINE.exec(rest) : null;
    if (!match) {
      parts.push({ type: "text", text: rest });
      break;
    }
    if (match.index) parts.push({ type: "text", text: rest.slice(0, match.index) });
    const [whole, , code, strong, strong2, del, em, em2, label, href, bare] = match;
    const within = (words: string): Inline[] => inline(words, depth + 1);
    if (code !== undefined) parts.push({ type: "code", text: code.trim() || code });
    else if (strong ?? strong2) parts.push({ type: "strong", parts: within((strong ?? strong2) as string) });
    else if (del) parts.push({ type: "del", parts: within(del) });
    else if (em ?? em2) parts.push({ type: "em", parts: within((em ?? em2) as string) });
    else {
      const address = safe((href ?? bare) as string);
      if (address) parts.push({ type: "link", href: address, parts: label ? within(label) : [{ type: "text", text: bare as string }] });
      else parts.push({ type: "text", text: whole });
    }
    rest = rest.slice(match.index + whole.length);
  }
  return parts;
}

/** An address that a link may have; nothing else than these three kinds. */
function safe(href: string): string {
  try {
    const url = new URL(href);
    return ["https:", "http:", "mailto:"].includes(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
}
