/** What needs no browser: the fold, differences, Markdown. Built on its own for tests in Node. */

export { blocks } from "./app/markdown";
export { diff } from "./app/diff";
export { advance, canonical, copy, digest, emptyState, fold } from "./fold/fold";
