import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { importRules, rulesIn, toToml } from "../settings/bitvisor.ts";
import { toConf } from "../settings/conf.ts";
import { readSettings, readText } from "../settings/toml.ts";

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
  config
    .command("import")
    .description("turn BitVisor's rules for PCI devices (vmm.driver.pci) into rules for sheer.toml")
    .argument("[rules]", "the rules")
    .option("-f, --file <file>", "read them from a bitvisor.conf")
    .action(async (rules: string | undefined, flags: { file?: string }) => {
      const text = rules ?? (flags.file === undefined ? undefined : rulesIn(await readText(flags.file)));
      if (text === undefined)
        throw new UsageError("There are no rules: write them, or name a file that has vmm.driver.pci.");
      const imported = importRules(text);
      process.stdout.write(toToml(imported.rules));
      for (const sentence of imported.lost) console.error(sentence);
    });
}
