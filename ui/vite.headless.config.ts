import { defineConfig } from "vite";

/** What needs no browser, for tests that compare it with Python. */
export default defineConfig({
  publicDir: false,
  build: {
    outDir: "../src/life/workspace/static",
    emptyOutDir: false,
    minify: false,
    target: "es2023",
    lib: { entry: "src/headless.ts", formats: ["es"], fileName: () => "headless.js" },
    rollupOptions: { output: { comments: false } },
  },
});
