import { existsSync } from "node:fs";
import type { Command } from "commander";
import { MissingEnvironmentError, SheerError } from "../errors.ts";
import { writeDiskImage } from "../image/disk.ts";
import { sheerEfi } from "../paths.ts";
import { toConf } from "../settings/conf.ts";
import type { Settings } from "../settings/schema.ts";
import { readSettings } from "../settings/toml.ts";

interface ImageFlags {
  settings?: string;
  output: string;
  force?: boolean;
}

export function addImageCommand(program: Command): void {
  program
    .command("image")
    .description("make a disk image, for a USB stick, that starts Sheer and then the machine's next boot entry")
    .option("--settings <file>", "Sheer's settings (sheer.toml)")
    .option("-o, --output <file>", "the image", "sheer.img")
    .option("--force", "write over an image that exists")
    .action(async (flags: ImageFlags) => {
      if (!existsSync(sheerEfi))
        throw new MissingEnvironmentError("dist/sheer.efi is not built yet; run: npm run build");
      if (existsSync(flags.output) && flags.force !== true)
        throw new SheerError(
          `${flags.output} exists; choose another name with --output, or write over it with --force.`,
        );
      const settings = flags.settings === undefined ? {} : await readSettings(flags.settings);
      await writeDiskImage(flags.output, sheerEfi, toConf(forDisk(settings)));
      console.log(`${flags.output}: copy it to a USB stick, for example with dd, and start the machine from it.`);
    });
}

/** From a disk of its own Sheer has nothing to return to, so the firmware goes on with its next entry. */
function forDisk(settings: Settings): Settings {
  return { ...settings, boot: { then: "next", ...settings.boot } };
}
