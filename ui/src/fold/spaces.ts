/** Spaces: whom the agent met, what was said, who works for whom (`life.workspace.space_folds`). */

import { last, patch, push } from "./rows";
import type { Step } from "./runs";
import type { State } from "./state";
import type { Contact, Hire } from "./surroundings";
import { count, fields, items, known, short, text, texts, type Fields, type Json } from "./values";

const peersFound: Step = (state, event) => {
  for (const item of items(event.peers).slice(0, 50)) {
    const told = fields(item);
    const row = met(state, told);
    if (!row) continue;
    patch(state.contacts, row, {
      skills: texts(told.skills).map((skill) => short(skill, 100)), price_micro: known(told.price_micro), trust_micro: known(told.trust_micro),
      ...(Object.hasOwn(told, "online") ? { presence: told.online === true ? "online" : "offline" } : {}),
    });
  }
};

const channelsSeen: Step = (state, event) => {
  for (const item of items(event.channels).slice(0, 100)) {
    const told = fields(item);
    inChannel(state, count(told.id), event, short(told.name, 100), text(told.type));
  }
};

const channelCreated: Step = (state, event) => inChannel(state, count(event.channel_id), event, short(event.name, 100));

const messageSent: Step = (state, event) => {
  const place = short(event.channel, 100);
  const channel = count(event.channel_id);
  inChannel(state, channel, event, place);
  say(state, "message", event, channel, place, number(event.message_id), event.text);
};

const messagesRead: Step = (state, event) => {
  const place = short(event.channel, 100);
  const channel = count(event.channel_id);
  inChannel(state, channel, event, place);
  heard(state, "message", event, channel, place);
};

const dmSent: Step = (state, event) => {
  const peer = fields(event.peer);
  met(state, peer);
  say(state, "dm", event, 0, short(peer.name, 100), number(event.message_id), event.text);
};

const dmsRead: Step = (state, event) => {
  const peer = fields(event.peer);
  met(state, peer);
  heard(state, "dm", event, 0, short(peer.name, 100));
};

const logged: Step = (state, event) => say(state, "log", event, count(event.channel_id), "", number(event.message_id), event.kind);

const asked: Step = (state, event) => {
  const peer = fields(event.peer);
  met(state, peer);
  const name = short(peer.name, 100);
  const ask = text(event.ask_id);
  say(state, "question", event, 0, name, ask, event.question);
  if (text(event.answer)) say(state, "answer", event, 0, name, ask, event.answer, name);
};

const hired: Step = (state, event) => {
  const peer = fields(event.peer);
  met(state, peer);
  hire(state, event, peer);
};

const hireChanged: Step = (state, event) => {
  const peer = fields(event.peer);
  met(state, peer);
  const row = hire(state, event, peer);
  patch(state.hires, row, {
    paid_micro: count(event.paid_micro), refunded_micro: count(event.refunded_micro),
    reason: short(event.reason, 500) || row.reason, result: short(event.result, 500) || row.result,
  });
};

const peerHired: Step = (state, event) => {
  const name = short(event.peer, 100);
  met(state, { name, is_agent: true });
  push(state, "hires", {
    seq: state.seq, id: `demo/${state.seq}`, role: "customer", peer: name, name, title: short(event.task, 200), state: text(event.state),
    price_micro: count(event.price_micro), paid_micro: count(event.price_micro), refunded_micro: 0, escrow: "none", reason: "",
    result: short(event.delivered, 500), stars: 0,
  });
};

const rated: Step = (state, event) => {
  const contact = met(state, fields(event.peer));
  const stars = count(event.stars);
  const trust = known(event.trust_micro);
  if (contact) patch(state.contacts, contact, { stars, trust_micro: trust < 0 ? contact.trust_micro : trust });
  const row = last(state.hires, (each) => each.id === text(event.hire_id));
  if (row) patch(state.hires, row, { stars });
};

function met(state: State, told: Fields): Contact | undefined {
  const id = short(told.identity, 100) || short(told.name, 100);
  if (!id) return undefined;
  const row = last(state.contacts, (each) => each.id === id);
  const name = short(told.name, 100);
  const agent = told.is_agent === true;
  if (row) return patch(state.contacts, row, { seq: state.seq, name: name || row.name, agent });
  const made: Contact = { seq: state.seq, id, name, agent, skills: [], price_micro: -1, trust_micro: -1, presence: "", stars: 0 };
  push(state, "contacts", made);
  return made;
}

function inChannel(state: State, id: number, event: Fields, name: string, type = ""): void {
  const row = last(state.channels, (each) => each.id === id);
  if (row) patch(state.channels, row, { seq: state.seq, name: name || row.name, type: type || row.type });
  else push(state, "channels", { seq: state.seq, id, space: count(event.space_id), name, type });
}

/** Something that was said, once however often it is told. Without `who` the agent said it. */
function say(state: State, kind: string, event: Fields, channel: number, place: string, id: string, words: Json | undefined, who = ""): void {
  if (last(state.talk, (row) => row.kind === kind && row.id === id && row.channel === channel)) return;
  push(state, "talk", { seq: state.seq, kind, id, channel, place, who, mine: !who, text: short(words, 500), at_us: count(event.at_us) });
}

function heard(state: State, kind: string, event: Fields, channel: number, place: string): void {
  for (const item of items(event.last).slice(0, 5)) {
    const told = fields(item);
    say(state, kind, told, channel, place, number(told.message_id), told.text, short(fields(told.from).name, 100) || "?");
  }
}

function hire(state: State, event: Fields, peer: Fields): Hire {
  const id = text(event.hire_id);
  const row = last(state.hires, (each) => each.id === id);
  const now = { seq: state.seq, state: text(event.state), escrow: text(event.escrow) };
  if (row) return patch(state.hires, row, now);
  const made: Hire = {
    id, role: text(event.role), peer: short(peer.identity, 100), name: short(peer.name, 100), title: short(event.title, 200),
    price_micro: count(event.price_micro), paid_micro: 0, refunded_micro: 0, reason: "", result: "", stars: 0, ...now,
  };
  push(state, "hires", made);
  return made;
}

const number = (value: Json | undefined): string => String(count(value));

export const SPACES: Record<string, Step> = {
  "spaces.peers_found": peersFound,
  "spaces.channels_seen": channelsSeen,
  "spaces.channel_created": channelCreated,
  "spaces.message_sent": messageSent,
  "spaces.messages_read": messagesRead,
  "spaces.dm_sent": dmSent,
  "spaces.dms_read": dmsRead,
  "spaces.logged": logged,
  "spaces.asked": asked,
  "spaces.hired": hired,
  "spaces.hire_changed": hireChanged,
  "spaces.rated": rated,
  "demo.peers_found": peersFound,
  "demo.peer_hired": peerHired,
};
