export { learn, t, term, load } from "./words.svelte";
export type { Key } from "./words.svelte";
