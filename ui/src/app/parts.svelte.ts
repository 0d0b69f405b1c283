/** The parts of the page that are fetched when they are first asked for. */

import { ApiError } from "./api";
import { ui } from "./ui.svelte";

type Panes = typeof import("../panes");
type Home = typeof import("../home");

class Parts {
  panes: Panes | null = $state.raw(null);
  home: Home | null = $state.raw(null);

  /** Fetch the panes; gives what is there already. */
  needPanes(): void {
    void fetched(() => import("../panes"), (panes) => (this.panes ??= panes));
  }

  needHome(): void {
    void fetched(() => import("../home"), (home) => (this.home ??= home));
  }
}

async function fetched<P>(fetch: () => Promise<P>, take: (part: P) => void): Promise<void> {
  try {
    take(await fetch());
  } catch {
    // The daemon is gone, or serves another page by now.
    ui.problem = new ApiError(0, "page", "A part of the page could not be fetched. Reload the page.");
  }
}

export const parts = new Parts();
