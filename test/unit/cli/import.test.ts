// BitVisor's rules for devices in the form of sheer.toml.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { importRules, toToml } from "../../../cli/settings/bitvisor.ts";
import { toConf } from "../../../cli/settings/conf.ts";
import { parseSettings } from "../../../cli/settings/toml.ts";
import { makeTemporaryFolder } from "../../temporary.ts";
import { sheer } from "./command.ts";

test.each([
  ["a driver for its own list", "driver=pro1000", [{ driver: "intel" }]],
  ["no driver", "slot=00:02.0, driver=none", [{ driver: "pass", slot: "00:02.0" }]],
  [
    "rules in their order",
    "slot=11:02.3, driver=none, and, id=1234:*, driver=conceal",
    [
      { driver: "pass", slot: "11:02.3" },
      { driver: "conceal", id: "1234:*" },
    ],
  ],
  [
    "the first of a driver's devices",
    "device=pro1000,number=0,driver=pro1000",
    [{ driver: "intel", supportedBy: "intel", number: "0" }],
  ],
  ["alternatives", "class=0c03|0200,driver=conceal", [{ driver: "conceal", class: ["0c03", "0200"] }]],
  [
    "long names and short ones",
    "rev=0?,if=30,header_type=00,driver=conceal,and,revision=01,programming_interface=20,driver=none",
    [
      { driver: "conceal", revision: "0?", interface: "30", header: "00" },
      { driver: "pass", revision: "01", interface: "20" },
    ],
  ],
  ["a class code in two", "class_code=0c0320,driver=conceal", [{ driver: "conceal", class: "0c03", interface: "20" }]],
  ["the start of a class code", "class_code=0c*,driver=conceal", [{ driver: "conceal", class: "0c*" }]],
  [
    "a driver's own way to conceal",
    "class_code=0c0320,driver=ehci_conceal",
    [{ driver: "conceal", class: "0c03", interface: "20" }],
  ],
  [
    "quotes, escapes and blanks",
    " \"slot\" = '00:02.0' , driver = con\\ceal ",
    [{ driver: "conceal", slot: "00:02.0" }],
  ],
  ["options that say what is so anyway", "driver=pro1000,net=pass,virtio=1", [{ driver: "intel" }]],
])("%s", (_, text, rules) => {
  expect(importRules(text)).toEqual({ rules, lost: [] });
});

test.each([
  ["a driver that is not here", "driver=ehci", /driver=ehci.*no driver like ehci/],
  ["another driver's list", "device=ahci,driver=conceal", /no list of devices like that of ahci/],
  ["no driver at all", "slot=00:02.0", /names no driver/],
  ["an unknown selector", "bus=0,driver=none", /bus is unknown/],
  ["a number that others follow", "id=8086:*,number=0,slot=00:02.0,driver=none", /has to be the last/],
  ["a number alone", "number=0,driver=none", /number counts/],
  ["a rule that chooses nothing", "driver=conceal", /say which devices/],
  ["a class code that cannot be cut", "class_code=*20,driver=none", /cannot be told apart/],
  ["a wildcard without its meaning", 'slot="00:*",driver=none', /quoted wildcard/],
  ["the same twice", "rev=01,revision=02,driver=none", /asked for twice/],
  ["what is no pattern", "id=80x6:1,driver=none", /write a pattern/],
])("%s is named and left out, the other rules are not", (_, text, complaint) => {
  const { rules, lost } = importRules(`${text},and,slot=00:1f.0,driver=none`);
  expect(rules).toEqual([{ driver: "pass", slot: "00:1f.0" }]);
  expect(lost).toEqual([expect.stringMatching(complaint)]);
});

test("an option without counterpart is named", () => {
  const { rules, lost } = importRules("device=pro1000,driver=pro1000,net=ip,tty=1");
  expect(rules).toEqual([{ driver: "intel", supportedBy: "intel" }]);
  expect(lost).toHaveLength(2);
  expect(lost[0]).toContain("without net=ip");
});

test("what is written can be read back, and becomes Sheer's form", () => {
  const { rules } = importRules("class=0c03|0200,slot=00:1d.*,driver=conceal,and,driver=pro1000");
  const settings = parseSettings(toToml(rules), "sheer.toml");
  expect(settings.device).toEqual(rules);
  expect(toConf(settings).split("\n").slice(1)).toEqual([
    "device=conceal,slot=00:1d.*,class=0c03|0200",
    "device=intel",
    "",
  ]);
});

test("the command takes rules as a word or from bitvisor.conf", async () => {
  const rules = "id=1234:*, driver=conceal, and, driver=ehci";
  const file = join(makeTemporaryFolder(), "bitvisor.conf");
  writeFileSync(file, `vmm.f11panic=1\nvmm.driver.pci=${rules}\n`);
  for (const words of [[rules], ["--file", file]]) {
    const outcome = await sheer("config", "import", ...words);
    expect(outcome).toMatchObject({ exitCode: 0, stdout: '[[device]]\ndriver = "conceal"\nid = "1234:*"\n' });
    expect(outcome.stderr).toContain("no driver like ehci");
  }
  expect(await sheer("config", "import")).toMatchObject({ exitCode: 2 });
});
