import { basename } from "node:path";
import type { Medium } from "../emulator/medium.ts";

/** Sheer, to be started before the guest, with tokens for its command line such as "log=0x3e8". */
export interface SheerStart {
  efi: string;
  settings: string;
}

export type GuestProgram =
  | { kind: "linux"; kernel: string; initrd?: string; append: string }
  | { kind: "efi"; program: string; arguments: string }
  | { kind: "shell"; lines?: string[] };

/**
 * A medium whose startup.nsh has the UEFI shell start Sheer, if wanted, and then the guest. When the guest returns to
 * the shell, the shell switches the machine off. The shell itself, as a guest, may be given more lines of its script.
 */
export function startupMedium(sheer: SheerStart | undefined, guest: GuestProgram): Medium {
  const files: Medium["files"] = {};
  // With another disk in the machine, ours may be the second.
  const lines = ["@echo -off", "fs0:", "if not exist startup.nsh then", "  fs1:", "endif"];
  if (sheer !== undefined) {
    files["sheer.efi"] = { copyOf: sheer.efi };
    lines.push(`sheer.efi ${sheer.settings}`.trimEnd());
  }
  if (guest.kind === "linux") {
    files["vmlinuz"] = { copyOf: guest.kernel };
    if (guest.initrd !== undefined) files["initrd.img"] = { copyOf: guest.initrd };
    const initrd = guest.initrd === undefined ? "" : "initrd=\\initrd.img ";
    lines.push(`vmlinuz ${initrd}${guest.append}`.trimEnd());
  } else if (guest.kind === "efi") {
    const name = basename(guest.program);
    files[name] = { copyOf: guest.program };
    lines.push(`${name} ${guest.arguments}`.trimEnd());
  } else {
    lines.push(...(guest.lines ?? []));
  }
  if (guest.kind !== "shell") lines.push("reset -s");
  files["startup.nsh"] = { text: lines.map((line) => `${line}\r\n`).join("") };
  return { files };
}
