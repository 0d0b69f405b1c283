/** How the page looks to this person. Money limits are policy and live in the daemon, never here. */

import { offline } from "./route.svelte";

export interface Prefs {
  theme: "system" | "light" | "dark" | "contrast";
  density: "calm" | "dense";
  motion: "system" | "reduced";
  size: "small" | "normal" | "large";
  language: "" | "en" | "es";
  left: number;
  right: number;
  welcomed: boolean;
}

const KEY = "life.prefs.1";
const DEFAULTS: Prefs = {
  theme: "system", density: "calm", motion: "system", size: "normal", language: "", left: 400, right: 460, welcomed: false,
};

function stored(): Partial<Prefs> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

export const prefs: Prefs = $state({ ...DEFAULTS, ...(offline ? {} : stored()) });

/** Change preferences, and keep them where the browser lets us. */
export function prefer(changes: Partial<Prefs>): void {
  Object.assign(prefs, changes);
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs));
  } catch {
    /* a private window keeps nothing */
  }
}

export function language(): "en" | "es" {
  return prefs.language || (navigator.language.startsWith("es") ? "es" : "en");
}

export function calmMotion(): boolean {
  return prefs.motion === "reduced" || matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Put the preferences on the document. */
export function apply(): void {
  const root = document.documentElement;
  root.lang = language();
  root.dataset.theme = prefs.theme;
  root.dataset.density = prefs.density;
  root.dataset.size = prefs.size;
  root.dataset.motion = calmMotion() ? "reduced" : "full";
}
