/** Text files that go along with a message, between marks that carry a part of their hash, as the terminal writes them (`life.cli.shell.mentions`). */

export const MOST_BYTES = 64 * 1024;
export const MOST_BYTES_TOGETHER = 128 * 1024;
export const MOST_FILES = 20;

export interface Attachment {
  name: string;
  text: string;
  bytes: number;
}

/** A dropped or pasted file; null when it is no text. */
export async function attachment(file: File): Promise<Attachment | null> {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
    return text.includes("\0") ? null : { name: file.name, text, bytes: file.size };
  } catch {
    return null;
  }
}

export async function withAttachments(message: string, files: Attachment[]): Promise<string> {
  const marked = files.map(async (each) => {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(each.text)));
    const mark = Array.from(hash.slice(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const name = each.name.replaceAll('"', "'").replaceAll("\n", " ");
    return `<attachment id="${mark}" path="${name}" bytes="${each.bytes}">\n${each.text}\n</attachment id="${mark}">`;
  });
  return [message, ...(await Promise.all(marked))].join("\n\n");
}

const ATTACHMENT = /\n*<attachment id="([0-9a-f]{8})" path="([^"\n]*)" bytes="\d+">\n[^]*?\n<\/attachment id="\1">/g;

/** A message as its writer typed it, and the names of what went along. */
export function withoutAttachments(message: string): { text: string; names: string[] } {
  if (!message.includes("<attachment id=")) return { text: message, names: [] };
  const names: string[] = [];
  const text = message.replace(ATTACHMENT, (_, __, name: string) => {
    names.push(name);
    return "";
  });
  return { text: text.trim(), names };
}
