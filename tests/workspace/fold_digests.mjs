// Folds recordings with the page's built fold: for each line of standard input (a JSON array of records), a line with the digests at
// every sequence. The fold is the committed one, so nothing has to be installed.
import { createInterface } from "node:readline";
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto;
const { advance, digest, emptyState } = await import(process.argv[2]);

for await (const line of createInterface({ input: process.stdin })) {
  const digests = [];
  const state = emptyState();
  for (const record of JSON.parse(line)) {
    advance(state, record);
    digests.push(await digest(state));
  }
  process.stdout.write(JSON.stringify(digests) + "\n");
}
