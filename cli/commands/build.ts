import type { Command } from "commander";
import { missingTools } from "../environment/tools.ts";
import { MissingEnvironmentError, SheerError, messageOf } from "../errors.ts";
import { interruptible } from "../interruption.ts";

export function addBuildCommand(program: Command): void {
  program
    .command("build")
    .description("build dist/sheer.efi and dist/core.wasm from the sources")
    .option("--json", "report as JSON")
    .action(async (options: { json?: boolean }) => {
      const missing = missingTools("build").map((tool) => tool.package);
      if (missing.length > 0)
        throw new MissingEnvironmentError(
          `The build needs ${missing.join(", ")}; run: apt-get install ${missing.join(" ")}`,
        );
      const { build } = await import("../build/build.ts");
      const onStage = (stage: string): void => console.error(stage);
      const result = await interruptible((signal) =>
        build({ onStage, signal }).catch((error: unknown) => {
          throw new SheerError(messageOf(error));
        }),
      );
      if (options.json === true) console.log(JSON.stringify(result, null, 2));
      else console.log(`${result.efi}: ${result.efiBytes} bytes, core.wasm sha256 ${result.coreHash}`);
    });
}
