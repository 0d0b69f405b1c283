/** What the daemon says about a session now, beside its journal: asked for again when a run ends, never while one looks at the past. */

import { offline } from "./route.svelte";
import { at, get } from "./api";
import type { SessionView } from "./session.svelte";

export class Told<T> {
  value: T | null = $state.raw(null);
  read = $state(0);

  constructor(view: SessionView, path: string) {
    $effect(() => {
      void [view.settled.totals.steps, view.settled.status];
      if (offline || view.position !== null) return;
      const timer = setTimeout(() => {
        void get<T>(at(view.id, path, { branch: view.branch })).then((value) => {
          this.value = value;
          this.read = Date.now();
        }, () => undefined);
      }, 150);
      return () => clearTimeout(timer);
    });
  }
}
