/** Words of the page, in the person's language. English is part of the scripts, other languages are fetched when chosen. */

import { language } from "../app/prefs.svelte";
import { offline } from "../app/route.svelte";
import { en } from "./en";
import type { more } from "./en_more";

export type Key = keyof typeof en | keyof typeof more;

const english: Record<string, string> = { ...en };
const others: { words: Partial<Record<string, string>> } = $state({ words: {} });

/** The words of a part of the page that was fetched. */
export function learn(words: Record<string, string>): void {
  Object.assign(english, words);
}

/** Fetch the words of the chosen language; without them the page speaks English. */
export async function load(): Promise<void> {
  if (language() === "en" || Object.keys(others.words).length) return;
  try {
    const inside = document.getElementById("words-es")?.textContent;
    const address = document.querySelector<HTMLMetaElement>('meta[name="life-words-es"]')?.content;
    if (inside) others.words = JSON.parse(inside);
    else if (address && !offline) others.words = await (await fetch(address)).json();
  } catch {
    /* English it is */
  }
}

export function t(key: Key, given: Record<string, string | number> = {}): string {
  const words: string = (language() === "es" ? others.words[key] : undefined) ?? english[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name: string) => (name in given ? String(given[name]) : whole));
}

/** Words for a value that may be one nobody has words for. */
export function term(prefix: string, value: string, given: Record<string, string | number> = {}): string {
  const key = prefix + value;
  return Object.hasOwn(english, key) ? t(key as Key, given) : value;
}
