/** What stands around the conversation: judges, notes with links, Spaces, demos (`life.workspace.surroundings`). */

/** What an evaluator gave a run, 0 to 1, with the label it carried. */
export interface Score {
  seq: number;
  evaluator: string;
  value: number;
  label: string;
  layer: string;
  /** inline (a heuristic) or async (a judge). */
  timing: string;
  run: string;
  why: string;
}

/** The session's quality over all its scores, as an event told it. */
export interface Quality {
  seq: number;
  value: number;
  trend: number;
  inline: number;
  judged: number;
}

/** Something with `[[links]]` that a call wrote, or what a search of memory or knowledge led to. */
export interface Note {
  seq: number;
  branch: string;
  call: string;
  /** memory, file, search or found. */
  kind: string;
  id: string;
  links: string[];
  /** The id that a memory was given. */
  ref: string;
  /** asked until the call ended, then ok or failed. */
  state: string;
}

/** Somebody in Spaces, as the agent met them; -1 where nothing was told. */
export interface Contact {
  seq: number;
  id: string;
  name: string;
  agent: boolean;
  skills: string[];
  price_micro: number;
  trust_micro: number;
  presence: string;
  stars: number;
}

/** A channel that the agent listed, made, read or wrote in. */
export interface Channel {
  seq: number;
  id: number;
  space: number;
  name: string;
  type: string;
}

/** Something said in Spaces: message, dm, question, answer, log. */
export interface Said {
  seq: number;
  kind: string;
  id: string;
  channel: number;
  place: string;
  who: string;
  mine: boolean;
  text: string;
  at_us: number;
}

/** Work between this agent and another, for money that is held in between. */
export interface Hire {
  seq: number;
  id: string;
  role: string;
  peer: string;
  name: string;
  title: string;
  state: string;
  price_micro: number;
  paid_micro: number;
  refunded_micro: number;
  escrow: string;
  reason: string;
  result: string;
  stars: number;
}

/** The demo that the session is of. */
export interface Demo {
  seq: number;
  slug: string;
  how: string;
  simulated: string[];
}

/** A demo's offer to branch before an event and say something else. */
export interface Offer {
  seq: number;
  title: string;
  reason: string;
  before: number;
  message: string;
}
