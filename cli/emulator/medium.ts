import { copyFile, mkdir, open, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runTool } from "../environment/tools.ts";

/** What lies on the disk that the firmware boots from. */
export interface Medium {
  /** Name on the disk, with forward slashes, to the file to copy there or the text to write there. */
  files: Record<string, { copyOf: string } | { text: string }>;
}

const megabyte = 1024 * 1024;
const sectorSize = 512;

/**
 * Makes `image` a disk with one FAT file system, without partitions, that holds the files of `medium`; they are gathered
 * in `top`, a folder yet to be made.
 */
export async function writeMedium(medium: Medium, image: string, top: string): Promise<void> {
  await mkdir(top, { recursive: true });
  let size = 0;
  for (const [name, content] of Object.entries(medium.files)) {
    const target = join(top, name);
    await mkdir(dirname(target), { recursive: true });
    if ("copyOf" in content) await copyFile(content.copyOf, target);
    else await writeFile(target, content.text);
    size += (await stat(target)).size;
  }
  // A FAT with 16-bit entries needs room, and the guest some space to write to.
  const megabytes = Math.ceil(size / megabyte) + 32;
  await makeFatImage(image, megabytes);
  const names = new Set(Object.keys(medium.files).map((name) => name.split("/")[0]!));
  if (names.size > 0) await runTool("mcopy", ["-s", "-i", image, ...[...names].map((name) => join(top, name)), "::"]);
}

async function makeFatImage(image: string, megabytes: number): Promise<void> {
  const file = await open(image, "w");
  await file.truncate(megabytes * megabyte);
  await file.close();
  await runTool("mformat", ["-i", image, "-c", "64", "-T", String((megabytes * megabyte) / sectorSize), "::"]);
}
