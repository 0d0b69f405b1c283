/** What the palette, the composer's `/` and the shortcuts list offer. Looking and running are never one command. */

import type { SessionView } from "../app/session.svelte";
import { at, send } from "../app/api";
import { offline, route } from "../app/route.svelte";
import { ui } from "../app/ui.svelte";
import { t } from "../i18n/i18n";

export interface Command {
  name: string;
  label: string;
  act: () => void;
}

export function commands(view: SessionView): Command[] {
  const post = (what: string) => () => void ui.attempt(() => send("POST", at(view.id, `/${what}`, { branch: view.branch })));
  const looking: Command[] = [
    { name: "files", label: t("files"), act: () => route.set({ mid: "files", pane: "mid" }) },
    { name: "journal", label: t("journal"), act: () => route.set({ mid: "journal", pane: "mid" }) },
    { name: "timeline", label: t("timeline"), act: () => route.set({ mid: "timeline", pane: "mid" }) },
    { name: "graph", label: t("graph"), act: () => route.set({ mid: "graph", pane: "mid" }) },
    { name: "spaces", label: t("spaces"), act: () => route.set({ mid: "spaces", pane: "mid" }) },
    ...(["preview", "trace", "judge", "context", "autonomic", "ledger", "identity"] as const).map((name) => ({
      name, label: t(name), act: () => route.set({ right: name, pane: "right" }),
    })),
    { name: "live", label: t("followLive"), act: () => view.follow() },
    { name: "first", label: t("first"), act: () => void view.seek(1) },
    { name: "play", label: t("play"), act: () => view.play() },
    { name: "share", label: t("share"), act: () => void navigator.clipboard?.writeText(location.href).then(() => ui.say(t("linkCopied"))) },
    { name: "preferences", label: t("preferences"), act: () => (ui.overlay = "preferences") },
    { name: "keys", label: t("shortcuts"), act: () => (ui.overlay = "shortcuts") },
  ];
  if (offline) return looking;
  return [
    ...looking,
    { name: "inbox", label: t("inbox"), act: () => (ui.overlay = "inbox") },
    { name: "branches", label: t("branches"), act: () => (ui.overlay = "branches") },
    { name: "branch", label: t("branchHere"), act: () => ui.branchFrom(view.shown) },
    { name: "compare", label: t("compare"), act: () => (ui.overlay = "compare") },
    { name: "pause", label: t("hold"), act: post("pause") },
    { name: "continue", label: t("goOn"), act: post("continue") },
    { name: "stop", label: t("stop"), act: post("cancel") },
    { name: "export", label: t("exportHtml"), act: () => location.assign(at(view.id, "/workspace/export", { branch: view.branch })) },
    { name: "sessions", label: t("sessions"), act: () => route.go("") },
  ];
}
