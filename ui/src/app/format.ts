/** Numbers, money, times and sizes, by the browser's own Intl. What was not reported is said so, never drawn as a digit. */

import { language } from "./prefs.svelte";
import { t } from "../i18n/i18n";

/** Formats are dear to make and are made once per language. */
const made = new Map<string, unknown>();

function once<F>(name: string, make: (language: string) => F): F {
  const key = `${language()} ${name}`;
  if (!made.has(key)) made.set(key, make(language()));
  return made.get(key) as F;
}

/** Micro-credits as dollars: as many digits as the amount needs. */
export function usd(micro: number): string {
  const dollars = micro / 1_000_000;
  const digits = micro === 0 || micro % 10_000 === 0 ? 2 : micro % 100 === 0 ? 4 : 6;
  return once(`usd${digits}`, (words) => new Intl.NumberFormat(words, { style: "currency", currency: "USD", minimumFractionDigits: digits })).format(dollars);
}

export function micro(amount: number): string {
  return `${whole(amount)} µ`;
}

export function whole(number: number): string {
  return once("whole", (words) => new Intl.NumberFormat(words)).format(number);
}

export function percent(fraction: number): string {
  return once("percent", (words) => new Intl.NumberFormat(words, { style: "percent", maximumFractionDigits: 0 })).format(fraction);
}

export function time(timestamp: string): string {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return "";
  return once("time", (words) => new Intl.DateTimeFormat(words, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })).format(date);
}

export function moment(timestamp: string | number): string {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return "";
  return new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "medium" }).format(date);
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Milliseconds between two times of the journal. */
export function between(from: string, to: string): number {
  const span = Date.parse(to) - Date.parse(from);
  return Number.isFinite(span) ? Math.max(0, span) : 0;
}

export function bytes(size: number): string {
  if (size < 0) return t("notReported");
  if (size < 1024) return `${size} B`;
  if (size < 1_048_576) return `${(size / 1024).toFixed(1)} KiB`;
  return `${(size / 1_048_576).toFixed(1)} MiB`;
}

export function ago(us: number): string {
  const seconds = Math.round((Date.now() - us / 1000) / 1000);
  const format = new Intl.RelativeTimeFormat(language(), { numeric: "auto" });
  if (seconds < 90) return format.format(-seconds, "second");
  if (seconds < 5400) return format.format(-Math.round(seconds / 60), "minute");
  if (seconds < 129_600) return format.format(-Math.round(seconds / 3600), "hour");
  return format.format(-Math.round(seconds / 86_400), "day");
}

/** An estimate: two digits that count. */
export function about(micro: number): string {
  return once("about", (words) => new Intl.NumberFormat(words, { style: "currency", currency: "USD", maximumSignificantDigits: 2 })).format(micro / 1_000_000);
}

/** A fraction with two digits. */
export function decimal(fraction: number): string {
  return once("decimal", (words) => new Intl.NumberFormat(words, { minimumFractionDigits: 2, maximumFractionDigits: 2 })).format(fraction);
}

/** The middle of a long identifier left out. */
export function id(text: string, keep = 8): string {
  return text.length <= keep * 2 + 1 ? text : `${text.slice(0, keep)}…${text.slice(-keep)}`;
}

export function pretty(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "";
}
