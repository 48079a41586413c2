import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { toConf } from "../settings/conf.ts";
import { readSettings } from "../settings/toml.ts";

const defaultFile = "sheer.toml";

export function addConfigCommand(program: Command): void {
  const config = program.command("config").description("check Sheer's settings, or write them as Sheer reads them");
  config
    .command("check")
    .description("check a settings file")
    .argument("[file]", "the settings", defaultFile)
    .action(async (file: string) => {
      await readSettings(file);
      console.log(`${file}: all settings are known and valid.`);
    });
  config
    .command("write")
    .description("turn a settings file into sheer.conf, for \\EFI\\sheer on the EFI system partition")
    .argument("[file]", "the settings", defaultFile)
    .option("-o, --output <file>", "where to write (default: the terminal)")
    .action(async (file: string, flags: { output?: string }) => {
      const conf = toConf(await readSettings(file));
      if (flags.output === undefined) process.stdout.write(conf);
      else await writeFile(flags.output, conf);
    });
}
