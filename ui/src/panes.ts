/** What a session's page shows only when asked for: fetched once, with the first of them. A saved file has everything inside. */

import { more } from "./i18n/en_more";
import { learn } from "./i18n/i18n";

learn(more);

export { default as Autonomic } from "./panels/Autonomic.svelte";
export { default as Branches } from "./panels/Branches.svelte";
export { default as Compare } from "./panels/Compare.svelte";
export { default as Context } from "./panels/Context.svelte";
export { default as Doubt } from "./panels/Doubt.svelte";
export { default as Fork } from "./panels/Fork.svelte";
export { default as Graph } from "./panels/Graph.svelte";
export { default as Identity } from "./panels/Identity.svelte";
export { default as Inbox } from "./panels/Inbox.svelte";
export { default as Journal } from "./panels/Journal.svelte";
export { default as Judge } from "./panels/Judge.svelte";
export { default as Ledger } from "./panels/Ledger.svelte";
export { default as Palette } from "./panels/Palette.svelte";
export { default as Preferences } from "./panels/Preferences.svelte";
export { default as Shortcuts } from "./panels/Shortcuts.svelte";
export { default as Spaces } from "./panels/Spaces.svelte";
export { default as Timeline } from "./panels/Timeline.svelte";
export { default as ToolBody } from "./panels/ToolBody.svelte";
export { default as Trace } from "./panels/Trace.svelte";
