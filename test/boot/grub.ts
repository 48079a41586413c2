import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Medium } from "../../cli/emulator/medium.ts";
import { runTool } from "../../cli/environment/tools.ts";
import type { Linux } from "../../cli/guest/linux.ts";
import { startupMedium } from "../../cli/guest/startup.ts";
import { makeTemporaryFolder } from "../temporary.ts";
import { sheer } from "./pc.ts";

// Without efi_gop GRUB warns that it boots Linux blindly.
const modules = ["serial", "terminal", "lspci", "fat", "efi_gop", "linux", "boot"];

/** Sheer, and as its guest GRUB, which carries out `commands` and then boots Debian. */
export async function grubMedium({ kernel, initrd }: Linux, append: string, commands = ""): Promise<Medium> {
  const grub = await makeGrub(`${commands}\nlinux /vmlinuz ${append}\ninitrd /initrd.img\nboot\n`);
  const medium = startupMedium(sheer(), { kind: "efi", program: grub, arguments: "" });
  medium.files["vmlinuz"] = { copyOf: kernel };
  medium.files["initrd.img"] = { copyOf: initrd };
  return medium;
}

/** Makes GRUB one EFI program that needs no file of its own beside it. */
async function makeGrub(configuration: string): Promise<string> {
  const folder = makeTemporaryFolder();
  const program = join(folder, "grub.efi");
  const embedded = join(folder, "grub.cfg");
  await writeFile(embedded, configuration);
  const options = ["--format", "x86_64-efi", "--prefix", "/", "--config", embedded, "--output", program];
  await runTool("grub-mkimage", [...options, ...modules]);
  return program;
}
