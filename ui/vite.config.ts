import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** One script and one style sheet with fixed names. Lines and the names of functions stay, only local names are shortened: two changes
 * merge, and a reviewer can read the output. */
export default defineConfig({
  plugins: [svelte()],
  publicDir: false,
  build: {
    outDir: "../src/life/workspace/static",
    emptyOutDir: true,
    minify: false,
    cssMinify: false,
    cssCodeSplit: false,
    modulePreload: false,
    target: "es2023",
    rollupOptions: {
      input: "src/main.ts",
      output: { entryFileNames: "workspace.js", assetFileNames: "workspace[extname]", codeSplitting: false, minify: { compress: true, mangle: { toplevel: false }, codegen: { removeWhitespace: false } }, comments: { legal: true, annotation: false, jsdoc: false } },
    },
  },
});
