import type { Command } from "commander";
import { describeFindings } from "../doctor/finding.ts";
import { examineHost } from "../doctor/host.ts";
import { examineTarget } from "../doctor/target.ts";
import { MissingEnvironmentError, SheerError } from "../errors.ts";

interface DoctorFlags {
  target?: boolean;
  json?: boolean;
}

export function addDoctorCommand(program: Command): void {
  program
    .command("doctor")
    .description("say whether this machine is ready to build Sheer and to run it in an emulated PC")
    .option("--target", "say whether Sheer itself could run on this machine, which has to run Linux")
    .option("--json", "report as JSON")
    .action((flags: DoctorFlags) => {
      if (flags.target === true && process.platform !== "linux")
        throw new SheerError("doctor --target reads what Linux knows of its machine; start Linux on it first.");
      const findings = flags.target === true ? examineTarget() : examineHost();
      const ready = findings.every(({ good }) => good);
      console.log(flags.json === true ? JSON.stringify({ ready, findings }, null, 2) : describeFindings(findings));
      if (ready) return;
      if (flags.target === true) throw new SheerError("This machine is not ready for Sheer; see above.");
      throw new MissingEnvironmentError("This machine is not ready; what to do is said above, or run: npm start");
    });
}
