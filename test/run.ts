// `npm test`: every check in turn, one line for each, and at the end one count of all: the checks of form count one
// each, unit and boot tests each for itself.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Count {
  passed: number;
  failed: number;
}

interface Check {
  name: string;
  command: string[];
  /** Vitest counts its tests; any other check counts as one. */
  countsItself: boolean;
}

const checks: Check[] = [
  { name: "build", command: ["tsx", "cli/main.ts", "build"], countsItself: false },
  { name: "cores for the tests", command: ["tsx", "test/prepare.ts"], countsItself: false },
  { name: "format", command: ["prettier", "--check", "--log-level", "warn", "."], countsItself: false },
  { name: "lint", command: ["eslint", "."], countsItself: false },
  { name: "types of the core", command: ["tsc", "--project", "tsconfig.core.json"], countsItself: false },
  { name: "types of the host code", command: ["tsc", "--project", "tsconfig.json"], countsItself: false },
  { name: "unit tests", command: ["vitest", "run", "--project", "unit"], countsItself: true },
  { name: "interleavings", command: ["vitest", "run", "--project", "interleavings"], countsItself: true },
  {
    name: "boots in QEMU and Bochs",
    command: ["vitest", "run", "--project", "boot", "--no-file-parallelism"],
    countsItself: true,
  },
];

const folder = mkdtempSync(join(tmpdir(), "sheer-test-"));
const total: Count = { passed: 0, failed: 0 };
try {
  for (const check of checks) {
    const start = performance.now();
    const count = await run(check);
    total.passed += count.passed;
    total.failed += count.failed;
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`== ${check.name}: ${count.failed === 0 ? "passed" : "FAILED"} (${seconds} s)`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

async function run(check: Check): Promise<Count> {
  const [program, ...args] = check.command;
  const results = join(folder, "results.json");
  rmSync(results, { force: true });
  const reporting = ["--reporter=default", "--reporter=json", `--outputFile.json=${results}`];
  const succeeded = await execute(program!, check.countsItself ? [...args, ...reporting] : args);
  if (!check.countsItself) return succeeded ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  return countResults(results, succeeded);
}

function execute(program: string, args: string[]): Promise<boolean> {
  // npm has put node_modules/.bin on the PATH.
  const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
  return new Promise((resolve) => {
    child.once("close", (code) => resolve(code === 0));
    child.once("error", (error) => {
      console.error(`${program} could not be started: ${error.message}`);
      resolve(false);
    });
  });
}

/** Reads what Vitest wrote; a run that failed without a failed test (a file that did not load, say) counts as one. */
function countResults(file: string, succeeded: boolean): Count {
  try {
    const report = JSON.parse(readFileSync(file, "utf8")) as { numPassedTests: number; numFailedTests: number };
    const failed = succeeded ? 0 : Math.max(1, report.numFailedTests);
    return { passed: report.numPassedTests, failed };
  } catch {
    return { passed: 0, failed: 1 };
  }
}
