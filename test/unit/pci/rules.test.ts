// Which device goes to whom by the rules in the settings.
import { describe, expect, test } from "vitest";
import type { Machine } from "../../../machine/machine.ts";
import { Config } from "../../../machine/pci/function.ts";
import { ABSENT, addFunction, addMemoryFunction, bootWith, guestFunction, idAt, VIRTIO_NET } from "./setup.ts";

const INTEL = { "00:02.0": 0x100e_8086, "00:03.0": 0x10d3_8086 } as const;
const OTHER = "00:05.0";
const FILE = "\\EFI\\sheer\\sheer.conf";

/** Two cards, an 82540EM at 00:02.0 and an 82574L at 00:03.0, and a function 1234:5678 at 00:05.0. */
function withRules(rules: string[], file = ""): Machine {
  const loadOptions = `sheer.efi log=0x3e8 ${rules.map((rule) => `device=${rule}`).join(" ")}`;
  const cards = [{ model: "82540EM" }, { model: "82574L" }] as const;
  return bootWith({ cards, loadOptions, files: { [FILE]: file } }, (machine) => {
    const pci = addFunction(machine, OTHER, { revision: 0x21, subsystemVendor: 0x1028, subsystem: 0x0abc });
    pci.set(Config.HeaderType, 1, 0x80);
  });
}

/** What became of each of the three: V for virtio-net, P for passed, C for concealed. */
function fates(machine: Machine): string {
  return Object.entries({ ...INTEL, [OTHER]: 0x5678_1234 })
    .map(([slot, own]) => {
      const id = idAt(machine, slot);
      return id === VIRTIO_NET ? "V" : id === own ? "P" : id === ABSENT ? "C" : "?";
    })
    .join("");
}

test.each([
  ["without rules the driver's list says", [], "VPP"],
  ["slot", ["pass,slot=00:02.0"], "PVP"],
  ["slot with a star", ["conceal,slot=00:0*.0"], "CCC"],
  ["slot with a question mark", ["conceal,slot=00:0?.0"], "CCC"],
  ["slot on another bus", ["conceal,slot=01:*"], "VPP"],
  ["class", ["conceal,class=0c03"], "VPC"],
  ["interface", ["conceal,interface=30"], "VPC"],
  ["id, vendor first", ["conceal,id=8086:10d3"], "VCP"],
  ["id in capitals", ["conceal,id=8086:10D3"], "VCP"],
  ["id, any device of a vendor", ["conceal,id=1234:*"], "VPC"],
  ["alternatives", ["conceal,id=1234:*|8086:100e"], "CVC"],
  ["subsystem", ["conceal,subsystem=1028:0abc"], "VPC"],
  ["revision", ["conceal,revision=2?"], "VPC"],
  ["header type without the multifunction bit", ["conceal,header=00,id=1234:5678"], "VPC"],
  ["another header type", ["conceal,header=01"], "VPP"],
  ["several selectors: all must match", ["conceal,class=0200,id=1234:*"], "VPP"],
  ["the first rule that matches", ["pass,slot=00:02.0", "conceal,class=0200"], "PCP"],
  ["supported by a driver", ["conceal,supportedBy=intel"], "CCP"],
  ["number", ["conceal,supportedBy=intel,number=1"], "VCP"],
  ["numbers count what the rule matches alone", ["conceal,id=1234:*,number=0"], "VPC"],
  ["numbers count also what an earlier rule took", ["pass,slot=00:02.0", "conceal,class=0200,number=1"], "PCP"],
  ["a driver for what it has in its list", ["pass,slot=00:02.0", "intel"], "PVP"],
  ["a driver for one card", ["intel,slot=00:03.0", "pass,supportedBy=intel"], "PVP"],
  ["a star that has to be taken back", ["conceal,slot=*0:*5.0"], "VPC"],
  ["an empty alternative", ["conceal,slot=|00:05.0"], "VPC"],
  ["a pattern that is longer than the text", ["conceal,revision=21?"], "VPP"],
  ["a pattern that is shorter", ["conceal,revision=2"], "VPP"],
])("%s", (_, rules, expected) => {
  const machine = withRules(rules);
  expect(fates(machine)).toBe(expected);
  expect(machine.log()).not.toContain("not understood");
});

test("the command line's rules come before the file's", () => {
  expect(fates(withRules(["pass,slot=00:02.0"], "device=conceal,class=0200\n"))).toBe("PCP");
});

test.each([
  "",
  ",slot=*",
  "conceal",
  "pass",
  "conceal,",
  "conceal,slot",
  "conceal,slot=",
  "conceal,=00:02.0",
  "conceal,slots=00:02.0",
  "conceal,Slot=00:02.0",
  "conceal,slot=00:02.0,slot=00:03.0",
  "conceal,number=0",
])("'%s' is no rule: named in the log, without effect", (rule) => {
  const machine = withRules([rule]);
  expect(machine.log()).toContain(`setting not understood, ignored: device=${rule}\r`);
  expect(fates(machine)).toBe("VPP");
});

test("a rule for a driver that does not exist is named in the log and chooses nothing", () => {
  const machine = withRules(["e1000,slot=00:02.0", "conceal,supportedBy=e1000"]);
  expect(machine.log()).toContain("there is no driver e1000");
  expect(fates(machine)).toBe("VPP");
});

test("of more rules than there is room for, the log names those left out", () => {
  const machine = withRules([...Array<string>(32).fill("pass,slot=00:1f.0"), "conceal,class=0c03"]);
  expect(machine.log()).toContain("ignored: device=conceal,class=0c03");
  expect(fates(machine)).toBe("VPP");
});

describe("a concealed function", () => {
  const [BASE, PORTS, VALUE] = [0xd000_0000, 0x7000, 0x1234_5678];

  function concealed(): Machine {
    return bootWith({ loadOptions: "sheer.efi device=conceal,slot=00:05.0" }, (machine) => {
      addMemoryFunction(machine, "00:05.0", BASE, PORTS, VALUE);
    });
  }

  test("would answer if it were not", () => {
    const machine = bootWith({}, (bare) => addMemoryFunction(bare, "00:05.0", BASE, PORTS, VALUE));
    expect([machine.guest.read32(BASE), machine.guest.in(PORTS, 4)]).toEqual([VALUE, VALUE]);
  });

  test.each(["ports", "ecam"] as const)("reads as ones everywhere and takes no writes, by %s", (way) => {
    const machine = concealed();
    const real = machine.bus.find(5 << 3)!;
    const before = [...real.config];
    const pci = guestFunction(machine, "00:05.0", way);
    for (let offset = 0; offset < 256; offset += 4) {
      for (const width of [1, 2, 4] as const) {
        pci.write(offset, width, 0);
        pci.write(offset, width, 0xffff_ffff);
        expect(pci.read(offset, width)).toBe(2 ** (8 * width) - 1);
      }
    }
    expect([...real.config]).toEqual(before);
  });

  test("has neither memory nor ports nor DMA", () => {
    const machine = concealed();
    expect([machine.guest.read32(BASE), machine.guest.in(PORTS, 4)]).toEqual([ABSENT, ABSENT]);
    expect(machine.bus.find(5 << 3)!.command & 7).toBe(0);
  });

  test("is taken from the firmware's driver first", () => {
    const machine = bootWith({ firmwareNicDriver: true, loadOptions: "sheer.efi device=conceal,slot=00:02.0" });
    expect(idAt(machine, "00:02.0")).toBe(ABSENT);
    expect(machine.card.pci.command & 7).toBe(0);
  });
});
