/** The event stream of one branch: resumes after the last event that was taken, closes in hidden tabs, and shares the line.
 *
 * A browser opens about six connections to one host. At most four tabs stream at once (a lock each); the others ask every two seconds.
 */

import type { EventRecord } from "../fold/record";
import { at, get } from "./api";

export type Connection = "connecting" | "open" | "polling" | "lost" | "resting" | "closed";

interface Sink {
  session: string;
  branch: string;
  /** The last event that was taken. */
  taken(): number;
  take(record: EventRecord): void;
  connection(now: Connection, since: number): void;
  /** History is exhausted; from here on it is live. */
  ready(): void;
}

const SLOTS = 4;
const POLL_MS = 2000;

export class Stream {
  private source: EventSource | null = null;
  private release: (() => void) | null = null;
  private timer = 0;
  private stopped = false;
  private attempt = 0;
  private from = -1;

  constructor(private readonly sink: Sink) {
    document.addEventListener("visibilitychange", this.visibility);
    void this.begin();
  }

  close(): void {
    this.stopped = true;
    document.removeEventListener("visibilitychange", this.visibility);
    this.rest("closed");
  }

  /** Now, not at the next attempt. */
  retry(): void {
    this.rest("connecting");
    void this.begin();
  }

  private visibility = (): void => {
    if (document.hidden) this.rest("resting");
    else if (!this.source && !this.stopped) void this.begin();
  };

  private rest(now: Connection): void {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.release?.();
    this.release = null;
    this.sink.connection(now, Date.now());
  }

  private async begin(): Promise<void> {
    clearTimeout(this.timer);
    if (this.stopped || document.hidden) return;
    if (await this.slot()) this.listen();
    else this.poll();
  }

  /** One of the places among the tabs; false when all are taken. */
  private async slot(): Promise<boolean> {
    if (this.release || !navigator.locks) return true;
    for (let number = 0; number < SLOTS; number++) {
      const got = await new Promise<boolean>((answer) => {
        void navigator.locks
          .request(`life-stream-${number}`, { ifAvailable: true }, (lock) => {
            if (!lock) return answer(false);
            return new Promise<void>((done) => {
              this.release = done;
              answer(true);
            });
          })
          .catch(() => answer(true));
      });
      if (got) return true;
    }
    return false;
  }

  private listen(): void {
    if (this.stopped || this.source) return;
    const { session, branch } = this.sink;
    this.sink.connection("connecting", Date.now());
    this.from = this.sink.taken();
    const source = new EventSource(at(session, "/events/stream", { branch, cursor: this.sink.taken() }));
    this.source = source;
    source.onopen = () => this.sink.connection("open", Date.now());
    source.onmessage = (message) => {
      const record = parsed(message.data);
      if (!record) return;
      if (record.sequence === 0 && record.kind.type === "Custom") {
        if (record.kind.event_type === "arcan.stream_ready") this.sink.ready();
        return;
      }
      this.sink.take(record);
    };
    source.onerror = () => {
      // The browser's own attempts would repeat the cursor of the first one; ours name the last event that was taken.
      if (this.source !== source) return;
      source.close();
      this.source = null;
      this.sink.connection("lost", Date.now());
      this.later();
    };
  }

  /** Again, soon when the line brought something, ever more slowly when it did not. */
  private later(): void {
    this.attempt = this.sink.taken() > this.from ? 0 : this.attempt + 1;
    const wait = Math.min(10_000, 20 * 3 ** Math.min(this.attempt, 6)) * (0.75 + Math.random() / 2);
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.begin(), wait);
  }

  private async poll(): Promise<void> {
    const { session, branch } = this.sink;
    try {
      const page = await get<{ events: EventRecord[] }>(
        at(session, "/events", { branch, from_sequence: this.sink.taken() + 1, limit: 500 }),
      );
      this.attempt = 0;
      this.sink.connection("polling", Date.now());
      page.events.forEach((record) => this.sink.take(record));
      if (page.events.length < 500) this.sink.ready();
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.begin(), page.events.length === 500 ? 0 : POLL_MS);
    } catch {
      this.sink.connection("lost", Date.now());
      this.later();
    }
  }
}

function parsed(data: string): EventRecord | null {
  try {
    return JSON.parse(data);
  } catch {
    return null; // cut off in the middle: the stream ends and resumes
  }
}
