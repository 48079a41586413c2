import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SheerError } from "../errors.ts";
import { runTool } from "../environment/tools.ts";

/** Drivers for what a guest may see, and for CPUID, MSRs and the firmware's variables. */
const wanted = [
  ...["virtio_pci", "virtio_net", "e1000e", "e1000", "igb"],
  ...["ata_piix", "sd_mod", "ohci_pci", "usb_storage", "sdhci_pci", "mmc_block"],
  ...["cpuid", "msr", "efivarfs"],
];

/** Copies the wanted modules, and all that they depend on, into `target`; ready for modprobe there. */
export async function collectModules(kernelFolder: string, release: string, target: string): Promise<void> {
  const from = join(kernelFolder, "lib/modules", release);
  const to = join(target, "lib/modules", release);
  const dependencies = parseDependencies(await readFile(join(from, "modules.dep"), "utf8"));
  for (const path of new Set(wanted.flatMap((name) => withDependencies(name, dependencies)))) {
    await mkdir(dirname(join(to, path)), { recursive: true });
    if (path.endsWith(".xz")) await writeFile(join(to, path.slice(0, -".xz".length)), unpack(join(from, path)));
    else await cp(join(from, path), join(to, path));
  }
  for (const list of ["modules.order", "modules.builtin"]) await cp(join(from, list), join(to, list));
  await runTool("depmod", ["--basedir", target, release]);
}

/** Lines of modules.dep are "path/to/module.ko: path/to/dependency.ko …"; dependencies are listed to any depth. */
function parseDependencies(text: string): Map<string, string[]> {
  const entries = text
    .trim()
    .split("\n")
    .map((line) => line.split(/[: ]+/).filter((path) => path !== ""));
  return new Map(entries.map((paths) => [moduleName(paths[0]!), paths]));
}

function moduleName(path: string): string {
  return path
    .replace(/^.*\//, "")
    .replace(/\.ko.*$/, "")
    .replaceAll("-", "_");
}

function withDependencies(name: string, dependencies: Map<string, string[]>): string[] {
  const paths = dependencies.get(name);
  if (paths === undefined) throw new SheerError(`The guest's kernel has no module ${name}.`);
  return paths;
}

function unpack(file: string): Buffer {
  return execFileSync("xz", ["--decompress", "--stdout", file], { maxBuffer: 64 * 1024 * 1024 });
}
