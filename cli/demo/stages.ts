import type { Machine } from "../qemu/machine.ts";

interface Stage {
  name: string;
  line: "console" | "log";
  shown: RegExp;
}

/** The stations on the way from power-on to power-off, each with the text that proves it was reached. */
const stages = [
  { name: "UEFI shell", line: "console", shown: /UEFI Interactive Shell/ },
  { name: "Sheer", line: "log", shown: /^sheer: / },
  { name: "guest goes on", line: "log", shown: /^sheer: the guest goes on/m },
  { name: "kernel", line: "console", shown: /^EFI stub: /m },
  { name: "init", line: "console", shown: /^@@ init /m },
  { name: "lease", line: "console", shown: /^@@ lease /m },
  { name: "ping", line: "console", shown: /^@@ ping ok/m },
  { name: "download", line: "console", shown: /^@@ download sha256/m },
  { name: "upload", line: "console", shown: /^@@ upload sha256/m },
  { name: "power off", line: "console", shown: /^@@ done/m },
] as const satisfies Stage[];

export type StageName = (typeof stages)[number]["name"];

/** Seconds from power-on to each stage that was reached. */
export type StageTimes = Partial<Record<StageName, number>>;

/** Notes when each stage is reached, and says so. */
export function watchStages(machine: Machine, progress: (line: string) => void): StageTimes {
  const times: StageTimes = {};
  for (const stage of stages) {
    machine[stage.line].whenSeen(stage.shown, ({ at }) => {
      const seconds = (at - machine.poweredOn) / 1000;
      times[stage.name] = seconds;
      progress(`${seconds.toFixed(1).padStart(7)} s  ${stage.name}`);
    });
  }
  return times;
}
