// Copies the words of other languages, gathers the notices, and writes the digests of the sources that the page was built from: one to a line, an empty line between, so that two changes merge.
import { createHash } from "node:crypto";
import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

copyFileSync("src/i18n/es.json", "../src/life/workspace/static/es.json");

// What is bundled, and under which terms.
const notices = ["svelte/LICENSE.md", "clsx/license"].map((path) => `${path.split("/")[0]}\n\n${readFileSync(`node_modules/${path}`, "utf8").trim()}\n`);
writeFileSync("../src/life/workspace/static/NOTICES.txt", notices.join("\n----\n\n"));

const files = (folder) => readdirSync(folder).flatMap((name) => (statSync(join(folder, name)).isDirectory() ? files(join(folder, name)) : [join(folder, name)]));
const build = ["package.json", "package-lock.json", "svelte.config.js", "tsconfig.json", "vite.config.ts", "vite.headless.config.ts"];
const lines = [...files("src"), ...build].sort().map((path) => `${createHash("sha256").update(readFileSync(path)).digest("hex")}  ${path}`);
writeFileSync("../src/life/workspace/static/sources.txt", lines.join("\n\n") + "\n");
