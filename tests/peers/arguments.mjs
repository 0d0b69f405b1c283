// Command-line options and the two lines that the tests read: "ready <url>" and a last line of JSON.
import { parseArgs } from "node:util";

/**
 * Options by name. Every key of `defaults` is an option; `undefined` there makes it required, a boolean makes it a flag.
 */
export function options(defaults) {
  const described = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, { type: typeof value === "boolean" ? "boolean" : "string" }]),
  );
  const { values } = parseArgs({ options: described });
  const missing = Object.keys(defaults).filter((name) => values[name] === undefined && defaults[name] === undefined);
  if (missing.length) {
    process.stderr.write(`missing: ${missing.map((name) => `--${name}`).join(" ")}\n`);
    process.exit(2);
  }
  return { ...defaults, ...values };
}

/** Serves an express app on loopback, says when it listens, and ends on SIGTERM. */
export function serve(app, port) {
  const server = app.listen(Number(port), "127.0.0.1", (error) => {
    if (error) throw error;
    process.stdout.write(`ready http://127.0.0.1:${server.address().port}\n`);
  });
  process.on("SIGTERM", () => process.exit(0));
}

/** Prints the outcome as the last line. */
export function report(outcome) {
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

/** A response's body: the JSON in it, or its text. */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
