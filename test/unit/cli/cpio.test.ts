import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { archiveOf, fileMode, folderMode } from "../../../cli/guest/cpio.ts";
import { need } from "../../../cli/environment/tools.ts";

const entries = [
  { name: "folder", mode: folderMode },
  { name: "folder/odd", mode: fileMode, content: Buffer.from("seven b") },
  { name: "folder/empty", mode: fileMode, content: Buffer.alloc(0) },
];

test("an archive is read back by cpio", () => {
  const unpack = (...args: string[]): string =>
    execFileSync(need("busybox"), ["cpio", "-i", ...args], {
      input: archiveOf(entries),
      stdio: ["pipe", "pipe", "ignore"],
    }).toString();
  expect(unpack("-t").trim().split("\n")).toEqual(["folder", "folder/odd", "folder/empty"]);
  expect(unpack("--to-stdout", "folder/odd")).toBe("seven b");
});

test("the same entries give the same bytes", () => {
  expect(archiveOf(entries).equals(archiveOf(entries))).toBe(true);
});
