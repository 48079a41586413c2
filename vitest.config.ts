import { defineConfig } from "vitest/config";

const seconds = 1000;

export default defineConfig({
  test: {
    projects: [
      {
        // The tests share no state but what they make, so they need no process each.
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          setupFiles: ["test/unit/equality.ts"],
          pool: "threads",
          isolate: false,
          maxWorkers: "100%",
          testTimeout: 15 * seconds,
        },
      },
      {
        // The core's code for several processors, under schedules that the tests choose.
        test: {
          name: "interleavings",
          include: ["test/interleavings/**/*.test.ts"],
          pool: "threads",
          isolate: false,
          testTimeout: 60 * seconds,
        },
      },
      {
        // One PC at a time: two emulators side by side on a small machine would time each other out.
        test: {
          name: "boot",
          include: ["test/boot/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 300 * seconds,
          hookTimeout: 300 * seconds,
        },
      },
      {
        // Boots in emulators that are newer than Debian 12's; see docs/using.md.
        test: {
          name: "more",
          include: ["test/more/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 600 * seconds,
          hookTimeout: 600 * seconds,
        },
      },
    ],
  },
});
