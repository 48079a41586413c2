import { existsSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { Emulator } from "../emulator/emulator.ts";
import { writeMedium, type Medium } from "../emulator/medium.ts";
import { thisMachine } from "../environment/installation.ts";
import { need } from "../environment/tools.ts";
import { bochsConfiguration, firmwareParts, type BochsOptions } from "./configuration.ts";

/** The words with which Bochs ends because the guest asked for it, by ACPI or by the word "Shutdown" at port 0x8900. */
const switchedOff = /soft power off|Shutdown port: shutdown requested/;

/** A PC emulated by Bochs while it runs; used as the one emulated by QEMU is. */
export class BochsMachine extends Emulator {
  private emulatorLog = "";

  private constructor(signal?: AbortSignal) {
    super("Bochs", signal);
  }

  /** Switches a PC on; the signal switches it off. */
  static async start(pc: BochsOptions, medium: Medium, signal?: AbortSignal): Promise<BochsMachine> {
    signal?.throwIfAborted();
    const machine = new BochsMachine(signal);
    try {
      await machine.powerOn(pc, medium);
      return machine;
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  private async powerOn(pc: BochsOptions, medium: Medium): Promise<void> {
    const installation = pc.installation ?? thisMachine;
    const bochs = installation.command("bochs-bin");
    const files = {
      firmware: this.file("firmware.fd"),
      bootDisk: this.file("boot.img"),
      consolePort: await this.console.listen(),
      logPort: await this.log.listen(),
      emulatorLog: pc.emulatorLog ?? this.file("bochs.log"),
    };
    this.emulatorLog = files.emulatorLog;
    await writeFile(
      files.firmware,
      Buffer.concat(await Promise.all(firmwareParts.map((part) => readFile(need(part))))),
    );
    await writeMedium(medium, files.bootDisk, this.file("medium"));
    await writeFile(this.file("bochsrc"), bochsConfiguration(pc, files));
    // Debian's Bochs has its debugger built in, which waits for a command.
    await writeFile(this.file("commands"), "continue\n");
    const args = ["-q", "-f", this.file("bochsrc"), "-rc", this.file("commands")];
    const environment = { TERM: "xterm", ...installation.environment };
    await this.launch([...bochs, ...args], environment, (code) => this.reason(code));
  }

  /** What Bochs prints is its display; what it has to say is in its log. */
  protected override receiveComplaint(): void {}

  /** Bochs ends with 1 whatever the reason is; its log has it. */
  private reason(code: number): number {
    if (!existsSync(this.emulatorLog)) return code;
    const said = readFileSync(this.emulatorLog, "latin1").split("\n");
    if (said.some((line) => switchedOff.test(line))) return 0;
    this.complaints = said.slice(-20).join("\n");
    return code;
  }
}
