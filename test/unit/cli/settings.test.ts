import { expect, test } from "vitest";
import { toConf } from "../../../cli/settings/conf.ts";
import { settingsSchema } from "../../../cli/settings/schema.ts";
import { parseSettings } from "../../../cli/settings/toml.ts";
import { complaintsAbout, words } from "../../../cli/settings/words.ts";

const full = `
[log]
port = 0x3e8
level = "debug"

[net]
mode = "pass"
interrupts = "private"
mergeBuffers = true

[interrupts]
intercept = false

[memory]
dma = "off"

[announce]
stealth = true

[boot]
then = "next"

[threads]
oneProcessor = true

[[device]]
driver = "pass"
slot = ["00:1d.*", "00:1E.0"]
number = "0"

[[device]]
driver = "intel"
`;

test("every setting finds its way into sheer.conf", () => {
  const conf = toConf(parseSettings(full, "sheer.toml"));
  expect(conf.split("\n").slice(1)).toEqual([
    "log=0x3e8",
    "log.level=debug",
    "net=pass",
    "net.interrupts=private",
    "net.mergeBuffers=on",
    "interrupts.intercept=off",
    "memory.dma=off",
    "stealth=on",
    "threads.oneProcessor=on",
    "then=next",
    "device=pass,slot=00:1d.*|00:1E.0,number=0",
    "device=intel",
    "",
  ]);
});

test("every setting of sheer.toml has a word, and each its own", () => {
  const { device: _, ...tables } = settingsSchema.shape;
  const settings = Object.entries(tables).flatMap(([table, fields]) =>
    Object.keys(fields.unwrap().shape).map((key) => `${table}.${key}`),
  );
  expect(Object.values(words).map((place) => place.join("."))).toHaveLength(settings.length);
  expect(new Set(Object.values(words).map((place) => place.join(".")))).toEqual(new Set(settings));
});

test("what is left out of sheer.toml is left to Sheer", () => {
  expect(toConf(parseSettings("", "sheer.toml")).split("\n").slice(1)).toEqual([""]);
});

test.each([
  ["an unknown key", '[log]\nlevel = "info"\nprot = 0x3e8\n', "sheer.toml:3: there is no log.prot; did you mean port?"],
  ["an unknown table", "[nett]\n", "sheer.toml:1: there is no nett; did you mean net?"],
  ["a key that resembles none", "[boot]\nzzzzzz = 1\n", "sheer.toml:2: there is no boot.zzzzzz; write one of then"],
  ["an unknown value", '\n[net]\nmode = "e1000"\n', 'sheer.toml:3: net.mode: write one of "virtio", "pass"'],
  ["a port out of range", "[log]\nport = 0xffff\n", "sheer.toml:2: log.port: write an I/O port from 1 to 0xfff8"],
  ["a port that is no number", '[log]\nport = "com1"\n', "sheer.toml:2: log.port: write an I/O port from 1 to 0xfff8"],
  ["a value of another type", "[announce]\nstealth = 1\n", "sheer.toml:2: announce.stealth: "],
  [
    "the guest's message where the guest is offered none",
    '[interrupts]\nintercept = false\n[net]\ninterrupts = "guest"\n',
    "sheer.toml:4: net.interrupts: the guest's own message needs MSI-X, which goes with interrupts.intercept",
  ],
  [
    "an unknown key of a rule",
    '[[device]]\ndriver = "pass"\nslot = "*"\n[[device]]\ndriver = "pass"\nslots = "*"\n',
    "sheer.toml:6: there is no device.1.slots; did you mean slot?",
  ],
  [
    "an unknown driver",
    '[[device]]\nslot = "*"\ndriver = "e1000"\n',
    'sheer.toml:3: device.0.driver: write one of "intel"',
  ],
  ["a rule that chooses nothing", '\n[[device]]\ndriver = "conceal"\n', "sheer.toml:2: device.0: say which devices"],
  [
    "a pattern of other characters",
    '[[device]]\ndriver = "pass"\nslot = "0 0"\n',
    "sheer.toml:3: device.0.slot: write a pattern",
  ],
  ["one of several patterns", '[[device]]\ndriver = "pass"\nid = ["1234:*", ","]\n', "sheer.toml:3: device.0.id"],
  ["what is not TOML", "[log]\nport\n", "sheer.toml:2: this is not TOML"],
])("%s is refused with its line and a hint", (_, text, complaint) => {
  expect(() => parseSettings(text, "sheer.toml")).toThrow(complaint);
});

test.each([
  "",
  "  log.level=debug   interrupts.intercept=off ",
  "log=1000 log=0x2f8 log=off",
  "stealth=on then=next threads.oneProcessor=off",
  "memory.dma=off net=pass net.interrupts=guest interrupts.intercept=on",
  "device=conceal,class=0c03,slot=00:1d.*|00:1e.* device=pass,id=*",
])("the words '%s' are right", (line) => {
  expect(complaintsAbout(line)).toEqual([]);
});

test.each([
  ["frobnicate=1", "there is no frobnicate; write one of log, log.level, net, "],
  ["interrupt.intercept=off", "there is no interrupt.intercept; did you mean interrupts.intercept?"],
  ["interrupts.intercept=false", 'interrupts.intercept: write one of "on", "off"'],
  ["interrupts.intercept", 'interrupts.intercept: write one of "on", "off"'],
  ["log=", "log: write an I/O port from 1 to 0xfff8"],
  ["log=0xffff", "log: write an I/O port from 1 to 0xfff8"],
  ["log.level=loud", 'log.level: write one of "error", "warn", "info", "debug"'],
  ["interrupts.intercept=off net.interrupts=guest", "net.interrupts: the guest's own message needs MSI-X"],
])("the words '%s' are refused with a hint", (line, complaint) => {
  expect(complaintsAbout(`log.level=info ${line}`)).toEqual([expect.stringContaining(complaint)]);
});
