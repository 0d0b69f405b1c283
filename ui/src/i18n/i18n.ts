export { t, term, load } from "./words.svelte";
export type { Key } from "./en";
