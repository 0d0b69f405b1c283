/** One session in view: its events in blocks, the state folded from them, and the position that every pane follows.
 *
 * A block is a thousand events and the state before them, which the daemon folded; so a session of any length opens with its last block, and
 * going anywhere costs one block. Within a block the state is folded here, with a copy kept every hundred events.
 */

import { advance, copy, digest, emptyState } from "../fold/fold";
import type { EventRecord } from "../fold/record";
import type { State } from "../fold/state";
import { ApiError, at, get, type Block } from "./api";
import { offline } from "./route.svelte";
import { Stream, type Connection } from "./stream";

const EVERY = 1000;
const KEEP = 100;
const MOST_BLOCKS = 24;
const REST_MS = 120;

interface Loaded {
  base: number;
  state: State;
  events: EventRecord[];
  /** States within the block, every hundred events. */
  kept: State[];
}

export class SessionView {
  readonly id: string;
  readonly branch: string;
  /** What every pane draws. */
  state: State = $state.raw(emptyState());
  /** The same, for what is long to draw: while one drags, it waits until the hand rests. */
  settled: State = $state.raw(emptyState());
  /** The last event that is known. */
  head = $state(0);
  /** The position that is looked at; null follows the head. */
  position: number | null = $state(null);
  playing = $state(false);
  speed = $state(1);
  connection: Connection = $state("connecting");
  connectionSince = $state(0);
  /** A message that is being written. */
  writing: { id: string; text: string } | null = $state.raw(null);
  error: ApiError | null = $state.raw(null);
  opened = $state(false);
  /** Whether everything that was in the journal when the line opened is here. */
  ready = $state(false);
  /** The position that is being fetched. */
  seeking: number | null = $state(null);
  /** Counts up when events came that a pane asked for. */
  arrived = $state(0);
  newSince = $state(0);
  /** The marks of the whole branch, wherever one looks. */
  marks: State["marks"] = $state.raw([]);

  private live: State = emptyState();
  private blocks = new Map<string, Loaded>();
  private asked = new Map<string, Promise<Loaded | null>>();
  private failed = new Map<string, number>();
  private stream: Stream | null = null;
  private frame = 0;
  private timer = 0;
  private wanted = 0;
  private closed = false;
  private settling = 0;
  private shownAt = -REST_MS;
  readonly timings = { openedMs: 0, worstSeekMs: 0 };

  constructor(id: string, branch: string) {
    this.id = id;
    this.branch = branch;
  }

  /** Load the end of the branch (or the moment `position`), then listen. */
  async open(position: number | null): Promise<void> {
    const began = performance.now();
    try {
      const block = offline ? recorded() : await get<Block>(at(this.id, "/workspace/block", { branch: this.branch }));
      const loaded = this.keep(block);
      this.live = this.stateIn(loaded, block.head);
      this.head = this.live.seq;
      this.marks = this.live.marks.slice();
      this.opened = true;
      if (position !== null && position < this.head) await this.seek(position);
      else this.show(copy(this.live));
    } catch (error) {
      this.error = error instanceof ApiError ? error : new ApiError(0, "page", String(error));
      return;
    }
    this.timings.openedMs = performance.now() - began;
    if (offline) this.connection = "closed";
    else if (!this.closed) this.stream = new Stream(this.sink());
  }

  close(): void {
    this.closed = true;
    this.stop();
    clearTimeout(this.settling);
    this.stream?.close();
    cancelAnimationFrame(this.frame);
  }

  retry(): void {
    this.stream?.retry();
  }

  private show(state: State, drags = false): void {
    this.state = state;
    clearTimeout(this.settling);
    const now = performance.now();
    const quick = drags && now - this.shownAt < REST_MS;
    this.shownAt = now;
    if (quick) this.settling = window.setTimeout(() => (this.settled = this.state), REST_MS);
    else this.settled = state;
  }

  private sink() {
    return {
      session: this.id,
      branch: this.branch,
      taken: () => this.live.seq,
      take: (record: EventRecord) => this.take(record),
      connection: (now: Connection, since: number) => {
        if (now !== this.connection) this.connectionSince = since;
        if (now === "connecting" || now === "lost") this.ready = false;
        this.connection = now;
      },
      ready: () => (this.ready = true),
    };
  }

  /** One event of the stream. What was taken already is passed over; a gap asks for what is missing. */
  take(record: EventRecord): void {
    if (record.branch_id !== this.branch) return;
    if (record.sequence === 0) {
      this.write(record);
      return;
    }
    if (record.sequence <= this.live.seq) return;
    if (record.sequence !== this.live.seq + 1) {
      this.stream?.retry();
      return;
    }
    this.lastBlock().events.push(record);
    advance(this.live, record);
    const kind = record.kind.type;
    if (this.pending && (this.pending.id === record.event_id || kind === "StepFinished" || kind === "RunFinished")) {
      this.pending = null;
    }
    this.publish();
  }

  private write(record: EventRecord): void {
    const id = record.causation_id ?? "";
    const delta = typeof record.kind.delta === "string" ? record.kind.delta : "";
    const index = typeof record.kind.index === "number" ? record.kind.index : null;
    const before = this.pending?.id === id ? this.pending.text : "";
    // `index` counts the characters before this piece; a piece that begins at 0 is the whole text so far.
    this.pending = { id, text: (index === 0 ? "" : before) + delta };
    this.publish();
  }

  private pending: { id: string; text: string } | null = null;

  private lastBlock(): Loaded {
    const base = Math.floor(this.live.seq / EVERY) * EVERY;
    const key = `${this.branch}/${base}`;
    let block = this.blocks.get(key);
    if (!block) {
      block = { base, state: copy(this.live), events: [], kept: [] };
      this.blocks.set(key, block);
    }
    return block;
  }

  /** At most one paint per animation frame, however many events come. */
  private publish(): void {
    if (this.frame) return;
    const draw = () => {
      this.frame = 0;
      const came = this.live.seq - this.head;
      this.head = this.live.seq;
      this.writing = this.pending;
      if (this.position !== null) this.newSince += came;
      else if (came) this.show(copy(this.live));
      if (came) this.marks = this.live.marks.slice();
    };
    this.frame = document.hidden ? window.setTimeout(draw, 200) : requestAnimationFrame(draw);
  }

  // Blocks

  private keep(block: Block, branch = this.branch): Loaded {
    const key = `${branch}/${block.base}`;
    const known = this.blocks.get(key);
    if (known && known.events.length >= block.events.length) return known;
    const loaded: Loaded = { base: block.base, state: block.state, events: block.events, kept: [] };
    this.blocks.set(key, loaded);
    const newest = Math.floor(Math.max(0, this.live.seq - 1) / EVERY) * EVERY;
    for (const old of this.blocks.keys()) {
      if (this.blocks.size <= MOST_BLOCKS) break;
      if (old !== key && old !== `${this.branch}/${newest}` && !offline) this.blocks.delete(old);
    }
    return loaded;
  }

  private baseOf(sequence: number): number {
    if (offline) return recorded().base;
    return Math.floor(Math.max(0, sequence - 1) / EVERY) * EVERY;
  }

  private load(sequence: number, branch: string): Promise<Loaded | null> {
    const key = `${branch}/${this.baseOf(sequence)}`;
    const known = this.blocks.get(key);
    if (known && known.base + known.events.length >= sequence) return Promise.resolve(known);
    if (offline) return Promise.resolve(null);
    if (Date.now() - (this.failed.get(key) ?? 0) < 5000) return Promise.resolve(null);
    let asked = this.asked.get(key);
    if (!asked) {
      asked = get<Block>(at(this.id, "/workspace/block", { branch, at: sequence }))
        .then((block) => {
          const kept = this.keep(block, branch);
          this.arrived += 1;
          return kept;
        })
        .catch(() => {
          this.failed.set(key, Date.now());
          return null;
        })
        .finally(() => this.asked.delete(key));
      this.asked.set(key, asked);
    }
    return asked;
  }

  private stateIn(block: Loaded, sequence: number): State {
    const within = Math.max(0, Math.min(sequence - block.base, block.events.length));
    const place = Math.min(Math.floor(within / KEEP), block.kept.length);
    const state = copy(place === 0 ? block.state : (block.kept[place - 1] as State));
    for (let index = place * KEEP; index < within; index++) {
      advance(state, block.events[index] as EventRecord);
      if ((index + 1) % KEEP === 0 && block.kept.length === (index + 1) / KEEP - 1) block.kept.push(copy(state));
    }
    return state;
  }

  /** An event by its place; undefined until it is here, and then `arrived` counts up. */
  record(sequence: number, branch = this.branch): EventRecord | undefined {
    void this.arrived;
    if (sequence < 1) return undefined;
    const block = this.blocks.get(`${branch}/${this.baseOf(sequence)}`);
    const found = block?.events[sequence - block.base - 1];
    if (!found && !(branch === this.branch && sequence > this.head)) queueMicrotask(() => void this.load(sequence, branch));
    return found;
  }

  /** Until the event is here, or can't be had. */
  async fetched(sequence: number, branch = this.branch): Promise<void> {
    if (sequence > 0) await this.load(sequence, branch);
  }

  /** The events that are here, of a stretch. */
  loaded(from: number, through: number): EventRecord[] {
    const found: EventRecord[] = [];
    for (let sequence = from; sequence <= through; sequence++) {
      const block = this.blocks.get(`${this.branch}/${this.baseOf(sequence)}`);
      const record = block?.events[sequence - block.base - 1];
      if (record) found.push(record);
    }
    return found;
  }

  // Position: looking, never running

  get shown(): number {
    return this.position ?? this.head;
  }

  get mode(): "live" | "paused" | "replay" {
    return this.position === null ? "live" : this.playing ? "replay" : "paused";
  }

  /** Look at the moment after event `sequence`. Nothing is run and nothing is asked but the journal. */
  async seek(sequence: number): Promise<void> {
    const wanted = Math.max(0, Math.min(Math.round(sequence), this.head));
    const turn = ++this.wanted;
    this.position = wanted;
    const began = performance.now();
    const base = `${this.branch}/${this.baseOf(wanted)}`;
    let block = this.blocks.get(base) ?? null;
    if (!block || block.base + block.events.length < wanted) {
      this.seeking = wanted;
      block = await this.load(wanted, this.branch);
      if (turn !== this.wanted) return;
      this.seeking = null;
      if (!block) return;
      const from = performance.now();
      this.show(this.stateIn(block, wanted), true);
      this.timings.worstSeekMs = Math.max(this.timings.worstSeekMs, performance.now() - from);
      return;
    }
    this.seeking = null;
    this.show(this.stateIn(block, wanted), true);
    this.timings.worstSeekMs = Math.max(this.timings.worstSeekMs, performance.now() - began);
  }

  /** Follow the head again. */
  follow(): void {
    this.stop();
    this.wanted += 1;
    this.seeking = null;
    this.position = null;
    this.newSince = 0;
    this.show(copy(this.live));
  }

  play(): void {
    if (this.playing) return this.stop();
    this.playing = true;
    if (this.shown >= this.head) void this.seek(0);
    else this.position = this.shown;
    this.tick();
  }

  stop(): void {
    this.playing = false;
    clearTimeout(this.timer);
  }

  private tick(): void {
    clearTimeout(this.timer);
    if (!this.playing) return;
    const now = this.shown;
    if (now >= this.head) return this.stop();
    const wait = Math.min(this.gap(now), 2000) / this.speed;
    this.timer = window.setTimeout(() => {
      void this.seek(now + 1).then(() => this.tick());
    }, Math.max(16, wait));
  }

  /** Milliseconds between an event and the next, as the journal told them. */
  private gap(sequence: number): number {
    const one = this.record(sequence)?.timestamp;
    const next = this.record(sequence + 1)?.timestamp;
    return one && next ? Math.max(0, Date.parse(next) - Date.parse(one)) : 100;
  }

  digest(): Promise<string> {
    return digest(this.state);
  }
}

let recording: Block | null = null;

/** The recording that is inside this very file. */
export function recorded(): Block {
  recording ??= JSON.parse(document.getElementById("recording")?.textContent ?? "{}") as Block;
  return recording;
}
