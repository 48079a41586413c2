import { Command, CommanderError } from "commander";
import { addBenchCommand } from "./commands/bench.ts";
import { addBuildCommand } from "./commands/build.ts";
import { addConfigCommand } from "./commands/config.ts";
import { addDemoCommand } from "./commands/demo.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addImageCommand } from "./commands/image.ts";
import { addRunCommand } from "./commands/run.ts";
import { SheerError, exitCode, messageOf } from "./errors.ts";

/** Runs the command with these words behind its name, and returns its exit code. */
export async function sheer(words: string[]): Promise<number> {
  try {
    await commandLine().parseAsync(words, { from: "user" });
    return exitCode.ok;
  } catch (error) {
    return report(error);
  }
}

function commandLine(): Command {
  const program = new Command("sheer")
    .description("Sheer, a thin hypervisor: build it, try it in an emulated PC, put it on a disk.")
    .showHelpAfterError("(sheer --help shows what there is)")
    .enablePositionalOptions()
    .exitOverride();
  addBuildCommand(program);
  addDemoCommand(program);
  addRunCommand(program);
  addImageCommand(program);
  addConfigCommand(program);
  addDoctorCommand(program);
  addBenchCommand(program);
  return program;
}

/** Says what went wrong, if that has not been said yet; a stack is shown only for what nobody foresaw. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage;
  if (error instanceof SheerError) {
    console.error(`sheer: ${error.message}`);
    return error.exitCode;
  }
  console.error(error instanceof Error ? (error.stack ?? messageOf(error)) : messageOf(error));
  return exitCode.failure;
}
