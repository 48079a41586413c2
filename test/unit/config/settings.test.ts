// Settings as the core takes them: from the file on the boot volume, then from the command line.
import { describe, expect, test } from "vitest";
import { Machine, type MachineOptions } from "../../../machine/machine.ts";
import { Gpr } from "../../../machine/guest/state.ts";
import { boot } from "../vcpu/setup.ts";

const FILE = "\\EFI\\sheer\\sheer.conf";
const ABORTED = (1n << 63n) | 21n;

function withFile(content: string | Uint8Array, loadOptions = "sheer.efi log=0x3e8"): Machine {
  return boot({ files: { [FILE]: content }, loadOptions });
}
function withLine(loadOptions: string, options: MachineOptions = {}): Machine {
  return boot({ loadOptions, ...options });
}
function isStealthy({ guest }: Machine): boolean {
  return guest.cpuid(1)[2] >>> 31 === 0;
}
function complaints(machine: Machine): string[] {
  return [...machine.log().matchAll(/setting not understood, ignored: (.*)\r/g)].map(([, word]) => word!);
}

describe("the log's port", () => {
  test.each([
    ["log=0x3e8", 0x3e8],
    ["log=1000", 0x3e8],
    ["log=0X3E8", 0x3e8],
    ["log=0x2f8", 0x2f8],
    ["log=0x3e8 log=0x2f8", 0x2f8],
  ])("%s", (words, port) => {
    const machine = withLine(`sheer.efi ${words}`);
    for (const uart of [0x3f8, 0x2f8, 0x3e8, 0x2e8]) expect(machine.log(uart) !== "").toBe(uart === port);
    expect(machine.guest.in(port, 1)).toBe(0xff);
  });

  test.each(["", "log=off", "log=0x3e8 log=off"])("none with '%s'", (words) => {
    const machine = withLine(`sheer.efi ${words}`);
    for (const uart of [0x3f8, 0x2f8, 0x3e8, 0x2e8]) expect(machine.log(uart)).toBe("");
  });
});

describe("the log's level", () => {
  test("error leaves out what is not", () => {
    expect(withLine("sheer.efi log=0x3e8 log.level=error").log()).toBe("");
  });

  test("debug has more than info", () => {
    const display = { width: 800, height: 600 };
    const [info, debug] = ["info", "debug"].map((level) =>
      withLine(`sheer.efi log=0x3e8 log.level=${level}`, { displays: [display] }).log(),
    );
    expect(info).not.toContain("screen of 800 by 600");
    expect(debug).toContain("screen of 800 by 600");
  });
});

describe("what the firmware is told", () => {
  test.each([
    ["", 0n],
    ["then=return", 0n],
    ["then=next", ABORTED],
    ["then=next then=return", 0n],
  ])("with '%s'", (words, status) => {
    expect(withLine(`sheer.efi ${words}`).guest.processor.gpr(Gpr.Rax)).toBe(status);
  });
});

describe("the file", () => {
  test("has words in any order, on lines of any ending, with comments", () => {
    const machine = withFile(
      "# first\r\n\r\n  stealth=on\tlog.level=info # stealth=off\n#stealth=off",
      "sheer.efi log=0x3e8",
    );
    expect(isStealthy(machine)).toBe(true);
    expect(complaints(machine)).toEqual([]);
  });

  test("gives way to the command line, word by word", () => {
    const machine = withFile("stealth=on then=next", "sheer.efi log=0x3e8 stealth=off");
    expect(machine.guest.processor.gpr(Gpr.Rax)).toBe(ABORTED);
    expect(isStealthy(machine)).toBe(false);
  });

  test("that is not there changes nothing", () => {
    expect(complaints(withLine("sheer.efi log=0x3e8"))).toEqual([]);
  });

  test("that is longer than Sheer reads is named in the log, not cut in silence", () => {
    const machine = withFile(`${"#".repeat(80)}\n`.repeat(60) + "stealth=on\n");
    expect(isStealthy(machine)).toBe(false);
    expect(machine.log()).toContain("longer than 4096 bytes");
  });

  test("of just the length that Sheer reads is whole", () => {
    const machine = withFile("stealth=on".padStart(4096));
    expect(isStealthy(machine)).toBe(true);
    expect(machine.log()).not.toContain("longer than");
  });
});

describe("the command line", () => {
  test("may do without the program's name, as a boot entry does", () => {
    expect(isStealthy(withLine("stealth=on log=0x3e8"))).toBe(true);
  });

  test.each(["", "sheer.efi", "\u00e9t\u00e9 stealth=on", "\u0001\u0002\uffff"])("'%s' changes nothing", (line) => {
    expect(isStealthy(withFile("log=0x3e8", line))).toBe(false);
  });

  test("may be as long as a boot entry allows", () => {
    const machine = withLine(`sheer.efi log=0x3e8 ${"x=y ".repeat(500)} stealth=on`);
    expect(isStealthy(machine)).toBe(true);
    expect(complaints(machine)).toHaveLength(500);
  });
});

describe("a word that is not understood is named in the log and changes nothing:", () => {
  test.each([
    "speed=9",
    "stealth",
    "stealth=",
    "stealth=maybe",
    "Stealth=on",
    "stealth=on,",
    "=on",
    "=",
    "net=",
    "net=none",
    "log=",
    "log=0",
    "log=0x",
    "log=0x10000",
    "log=0xfff9",
    "log=0x1_0000",
    "log=99999999999999999999",
    "log=-1",
    "log=3e8",
    "log.level=loud",
    "log.levels=info",
    "then=previous",
    "threads.oneProcessor=1",
    "net.mergeBuffers=yes",
    "interrupts.intercept=",
    "interrupts.intercept=0",
    "interrupts.intercepts=off",
  ])("%s", (word) => {
    const machine = withLine(`sheer.efi log=0x3e8 ${word}`);
    expect(complaints(machine)).toEqual([word]);
    expect(machine.guest.processor.gpr(Gpr.Rax)).toBe(0n);
    expect(isStealthy(machine)).toBe(false);
  });
});
