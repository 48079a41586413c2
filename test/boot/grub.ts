import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "../../cli/environment/tools.ts";
import { makeTemporaryFolder } from "../temporary.ts";

// Without efi_gop GRUB warns that it boots Linux blindly.
const modules = ["serial", "terminal", "lspci", "fat", "efi_gop", "linux", "boot"];

/** Makes GRUB one EFI program that needs no file of its own beside it. */
export async function makeGrub(configuration: string): Promise<string> {
  const folder = makeTemporaryFolder();
  const program = join(folder, "grub.efi");
  const embedded = join(folder, "grub.cfg");
  await writeFile(embedded, configuration);
  const options = ["--format", "x86_64-efi", "--prefix", "/", "--config", embedded, "--output", program];
  await runTool("grub-mkimage", [...options, ...modules]);
  return program;
}
