/** The first page: fetched when it is asked for. */

import { more } from "./i18n/en_more";
import { learn } from "./i18n/i18n";

learn(more);
export { default as Home } from "./Home.svelte";
