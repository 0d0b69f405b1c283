import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** Fixed names, one style sheet. Lines and the names of functions stay, only local names are shortened: two changes merge, and a reviewer can
 * read the output. `workspace.js` draws a session; `panes.js` and `home.js` are fetched when they are first asked for. With `--mode viewer` all of it is
 * one script, for files that open from disk. (Built as a library: a page's build would wrap every import in a helper that preloads.) */
export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  publicDir: false,
  build: {
    outDir: "../src/life/workspace/static",
    emptyOutDir: mode !== "viewer",
    minify: false,
    cssMinify: false,
    cssCodeSplit: false,
    target: "es2023",
    lib: { entry: "src/main.ts", formats: ["es"], fileName: () => (mode === "viewer" ? "viewer.js" : "workspace.js"), cssFileName: "workspace" },
    rollupOptions: {
      preserveEntrySignatures: false,
      output: {
        chunkFileNames: "[name].js",
        minifyInternalExports: false,
        codeSplitting: mode !== "viewer",
        minify: { compress: true, mangle: { toplevel: false }, codegen: { removeWhitespace: false } },
        comments: { legal: true, annotation: false, jsdoc: false },
      },
    },
  },
}));
