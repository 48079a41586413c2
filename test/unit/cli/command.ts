import { vi } from "vitest";
import { sheer as runSheer } from "../../../cli/program.ts";

export interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs the command in this process, and keeps what it would have shown. */
export async function sheer(...words: string[]): Promise<Outcome> {
  const outcome: Outcome = { exitCode: 0, stdout: "", stderr: "" };
  const keep = (stream: "stdout" | "stderr", text: unknown): true => {
    outcome[stream] += String(text);
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation((text) => keep("stdout", text)),
    vi.spyOn(process.stderr, "write").mockImplementation((text) => keep("stderr", text)),
    vi.spyOn(console, "log").mockImplementation((text) => keep("stdout", `${text}\n`)),
    vi.spyOn(console, "error").mockImplementation((text) => keep("stderr", `${text}\n`)),
  ];
  try {
    outcome.exitCode = await runSheer(words);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return outcome;
}
