import { copyFile } from "node:fs/promises";
import { Emulator } from "../emulator/emulator.ts";
import { writeMedium, type Medium } from "../emulator/medium.ts";
import { thisMachine } from "../environment/installation.ts";
import { firmwareVariables, qemuArguments, type PcFiles, type PcOptions } from "./arguments.ts";
import { Qmp } from "./qmp.ts";

/**
 * A PC emulated by QEMU while it runs.
 *
 *     const machine = await Machine.start({ nic: "e1000e" }, medium);
 *     try {
 *       await machine.waitFor(machine.log, /the guest goes on/, 60);
 *       await machine.qmp.monitor("info registers");
 *       const code = await machine.waitForEnd(60);
 *     } finally {
 *       await machine.stop();
 *     }
 */
export class Machine extends Emulator {
  readonly qmp = new Qmp();

  private constructor(signal?: AbortSignal) {
    super("QEMU", signal);
  }

  /** Switches a PC on; the signal switches it off. */
  static async start(pc: PcOptions, medium: Medium, signal?: AbortSignal): Promise<Machine> {
    signal?.throwIfAborted();
    const machine = new Machine(signal);
    try {
      await machine.powerOn(pc, medium);
      return machine;
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  /**
   * How many instructions its processors have executed, where they are counted at all (`instructionShift`). The command is
   * that of recording and replaying; the count is there without. Unlike the guest's clock it stands while they halt.
   */
  async instructions(): Promise<number> {
    const { icount } = (await this.qmp.execute("query-replay")) as { icount: number };
    return icount;
  }

  override async stop(): Promise<void> {
    await super.stop();
    this.qmp.close();
  }

  private async powerOn(pc: PcOptions, medium: Medium): Promise<void> {
    const files: PcFiles = {
      firmwareVariables: this.file("variables.fd"),
      bootDisk: this.file("boot.img"),
      consolePort: await this.console.listen(),
      logPort: await this.log.listen(),
      qmpSocket: this.file("qmp"),
    };
    const installation = pc.installation ?? thisMachine;
    const qemu = installation.command("qemu-system-x86_64");
    await copyFile(installation.file(firmwareVariables), files.firmwareVariables);
    await writeMedium(medium, files.bootDisk, this.file("medium"));
    await this.qmp.listen(files.qmpSocket);
    await this.launch([...qemu, ...qemuArguments(pc, files, installation)], installation.environment);
  }
}
