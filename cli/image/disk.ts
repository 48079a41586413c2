import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "../environment/tools.ts";
import { withTemporaryFolder } from "../temporary.ts";

const mebibyte = 1024 * 1024;

/** Large enough for a FAT with 32-bit entries, which firmware expects on an EFI system partition. */
const diskMebibytes = 68;
const partitionStart = 1;
/** The last mebibyte keeps the second copy of the partition table. */
const partitionMebibytes = diskMebibytes - partitionStart - 1;

/** Writes a disk image, for a USB stick, whose only partition starts Sheer. */
export async function writeDiskImage(image: string, efi: string, conf: string): Promise<void> {
  const file = await open(image, "w");
  await file.truncate(diskMebibytes * mebibyte);
  await file.close();
  const end = `+${partitionMebibytes}M`;
  const partition = [`--new=1:${partitionStart}M:${end}`, "--typecode=1:ef00", "--change-name=1:Sheer"];
  await runTool("sgdisk", ["--clear", ...partition, image]);
  const place = `${image}@@${partitionStart}M`;
  const sectors = String((partitionMebibytes * mebibyte) / 512);
  await runTool("mformat", ["-i", place, "-F", "-T", sectors, "-v", "SHEER", "::"]);
  await runTool("mmd", ["-i", place, "::/EFI", "::/EFI/BOOT", "::/EFI/sheer"]);
  await runTool("mcopy", ["-i", place, efi, "::/EFI/BOOT/BOOTX64.EFI"]);
  await withTemporaryFolder("image", async (folder) => {
    const settings = join(folder, "sheer.conf");
    await writeFile(settings, conf);
    await runTool("mcopy", ["-i", place, settings, "::/EFI/sheer/sheer.conf"]);
  });
}
