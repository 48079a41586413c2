import { existsSync } from "node:fs";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { MissingEnvironmentError } from "../errors.ts";
import { need } from "../environment/tools.ts";
import { guestFolder, kernelFolder, sheerctl } from "../paths.ts";
import { withTemporaryFolder } from "../temporary.ts";
import { archiveOf, fileMode, folderMode, programMode, type ArchiveEntry } from "./cpio.ts";
import { collectModules } from "./modules.ts";

export interface Linux {
  kernel: string;
  initrd: string;
}

/** Debian's kernel as it was unpacked by the setup. */
export async function debianKernel(): Promise<{ file: string; release: string }> {
  const note = join(kernelFolder, "release");
  if (!existsSync(note))
    throw new MissingEnvironmentError("Debian's kernel is not unpacked yet; run: node setup.mjs all");
  const release = (await readFile(note, "utf8")).trim();
  return { file: join(kernelFolder, "boot", `vmlinuz-${release}`), release };
}

/** Makes the guest of the demonstration in `folder`; `moreSteps` is shell text that its init runs before the end. */
export async function makeDebianGuest(folder: string, moreSteps?: string): Promise<Linux> {
  const { file, release } = await debianKernel();
  const initrd = join(folder, "initrd.img");
  await writeFile(initrd, archiveOf(await initramfsEntries(release, moreSteps)));
  return { kernel: file, initrd };
}

async function initramfsEntries(release: string, moreSteps: string | undefined): Promise<ArchiveEntry[]> {
  const program = async (name: string, file: string): Promise<ArchiveEntry> => {
    return { name, mode: programMode, content: await readFile(file) };
  };
  const entries: ArchiveEntry[] = [
    { name: "bin", mode: folderMode },
    await program("bin/busybox", need("busybox")),
    await program("init", join(guestFolder, "init")),
    await program("bin/lease", join(guestFolder, "lease")),
  ];
  if (existsSync(sheerctl)) entries.push(await program("bin/sheerctl", sheerctl));
  if (moreSteps !== undefined)
    entries.push({ name: "bin/more-steps", mode: programMode, content: Buffer.from(moreSteps) });
  return [...entries, ...(await moduleEntries(release))];
}

async function moduleEntries(release: string): Promise<ArchiveEntry[]> {
  return withTemporaryFolder("modules", async (staging) => {
    await collectModules(kernelFolder, release, staging);
    return entriesBelow(staging, staging);
  });
}

async function entriesBelow(folder: string, top: string): Promise<ArchiveEntry[]> {
  const entries: ArchiveEntry[] = [];
  const children = await readdir(folder, { withFileTypes: true });
  for (const child of children.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, child.name);
    const name = relative(top, path);
    if (child.isDirectory()) entries.push({ name, mode: folderMode }, ...(await entriesBelow(path, top)));
    else entries.push({ name, mode: fileMode, content: await readFile(path) });
  }
  return entries;
}
