/** The view's address. Everything that a person may want to share stands in it; a saved file keeps it behind the `#`. */

export const offline: boolean = document.getElementById("recording") !== null;

const NAMES = ["branch", "at", "mid", "right", "file", "event", "span", "pane", "q", "kind", "actor"] as const;
export type Parameter = (typeof NAMES)[number];

class Route {
  session = $state("");
  values: Partial<Record<Parameter, string>> = $state({});

  constructor() {
    this.read();
    addEventListener("popstate", () => this.read());
    addEventListener("hashchange", () => this.read());
  }

  private read(): void {
    const match = /\/workspace\/([^/]+)$/.exec(location.pathname);
    this.session = match?.[1] ? decodeURIComponent(match[1]) : "";
    const given = new URLSearchParams(offline ? location.hash.slice(1) : location.search);
    const values: Partial<Record<Parameter, string>> = {};
    for (const name of NAMES) {
      const value = given.get(name);
      if (value) values[name] = value;
    }
    this.values = values;
  }

  get(name: Parameter, otherwise = ""): string {
    return this.values[name] ?? otherwise;
  }

  /** Change what the address says. `quiet` changes it in place: no step for the back button. */
  set(changes: Partial<Record<Parameter, string | number | null>>, quiet = false): void {
    const values = { ...this.values };
    for (const name of NAMES) {
      if (!(name in changes)) continue;
      const value = changes[name];
      if (value === null || value === undefined || value === "") delete values[name];
      else values[name] = String(value);
    }
    this.values = values;
    const query = new URLSearchParams(values as Record<string, string>).toString();
    const address = offline ? `#${query}` : location.pathname + (query ? `?${query}` : "");
    if (quiet) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
  }

  /** Another session, or none: the list. */
  go(session: string, values: Partial<Record<Parameter, string>> = {}): void {
    const query = new URLSearchParams(values as Record<string, string>).toString();
    history.pushState(null, "", (session ? `/workspace/${encodeURIComponent(session)}` : "/workspace") + (query ? `?${query}` : ""));
    this.read();
  }
}

export const route = new Route();
