/** Reading values that anybody may have written; the rules of `life.workspace.values`. */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Fields = { readonly [name: string]: Json | undefined };

const NOTHING: Fields = Object.freeze({});

/** An object, or an empty one. */
export function fields(value: Json | undefined): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : NOTHING;
}

/** A member of its own, never one that every object has. */
export function member(from: Fields, name: string): Json | undefined {
  return Object.hasOwn(from, name) ? from[name] : undefined;
}

/** An array, or an empty one. */
export function items(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

/** Text, or none; a lone surrogate is U+FFFD. */
export function text(value: Json | undefined): string {
  return typeof value === "string" ? value.toWellFormed() : "";
}

/** The beginning of a text, in code points. */
export function short(value: Json | undefined, characters = 160): string {
  const whole = text(value);
  if (whole.length <= characters) return whole;
  return Array.from(whole.slice(0, characters * 2)).slice(0, characters).join("");
}

/** The texts of an array. */
export function texts(value: Json | undefined, most = 20): string[] {
  return items(value).filter((item): item is string => typeof item === "string").map(text).slice(0, most);
}

/** A whole number that is not negative, or 0. */
export function count(value: Json | undefined): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

/** A whole number that is not negative, or -1. */
export function known(value: Json | undefined): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value + 0 : -1;
}

/** A finite number, or 0. */
export function fraction(value: Json | undefined): number {
  return typeof value === "number" && Number.isFinite(value) ? value + 0 : 0;
}

/** A sum that stays within what doubles hold exactly. */
export function capped(total: number): number {
  return Math.min(total, Number.MAX_SAFE_INTEGER);
}
