import { spawn, type ChildProcess } from "node:child_process";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SheerError } from "../errors.ts";
import { need } from "../environment/tools.ts";
import { firmwareVariables, qemuArguments, type PcFiles, type PcOptions } from "./arguments.ts";
import { writeMedium, type Medium } from "./medium.ts";
import { Qmp } from "./qmp.ts";
import { SerialPort, type SerialMatch } from "./serial.ts";

/** A boot that did not show what it should; the message ends with what both serial lines said last. */
export class BootFailure extends SheerError {}

/**
 * An emulated PC while it runs.
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
export class Machine {
  /** COM1: the firmware's console, then the guest's. */
  readonly console = new SerialPort("the guest's console");
  /** The port at 0x3e8: Sheer's log. */
  readonly log = new SerialPort("Sheer's log");
  readonly qmp = new Qmp();
  /** The emulator's exit code, once it has ended; -1 if a signal ended it. */
  readonly ended: Promise<number>;
  /** When power came on, in milliseconds of `performance.now()`. */
  poweredOn = 0;

  private emulator: ChildProcess | undefined;
  /** What the emulator itself has said. */
  complaints = "";
  private end!: (code: number) => void;
  private removeAtExit = (): void => undefined;

  private constructor(private readonly folder: string) {
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  /** Switches a PC on; the signal switches it off. */
  static async start(pc: PcOptions, medium: Medium, signal?: AbortSignal): Promise<Machine> {
    signal?.throwIfAborted();
    const machine = new Machine(await mkdtemp(join(tmpdir(), "sheer-")));
    signal?.addEventListener("abort", () => machine.emulator?.kill("SIGKILL"));
    try {
      await machine.powerOn(pc, medium);
      return machine;
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  /** Waits until a serial port has shown the pattern; fails after so many seconds or when the PC ends before. */
  async waitFor(port: SerialPort, pattern: RegExp, seconds: number): Promise<SerialMatch> {
    const found = this.race<SerialMatch>(seconds, (resolve) => port.whenSeen(pattern, resolve));
    return found.catch((error: unknown) => {
      throw this.failure(`${port.name} did not show ${String(pattern)}: ${(error as Error).message}`);
    });
  }

  /**
   * Waits until the emulator ends, by power-off or otherwise; returns its exit code. Fails after so many seconds, or
   * when both serial lines have been silent for so long.
   */
  async waitForEnd(seconds: number, silentSeconds = seconds): Promise<number> {
    const deadline = performance.now() + seconds * 1000;
    let lastText = performance.now();
    const listening = [this.console, this.log].map((port) => port.onData(() => (lastText = performance.now())));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        const now = performance.now();
        if (now > deadline) reject(this.failure(`The PC still ran after ${seconds} s.`));
        if (now > lastText + silentSeconds * 1000) reject(this.failure(`The PC was silent for ${silentSeconds} s.`));
      }, 100);
    });
    return Promise.race([this.ended, late]).finally(() => {
      clearInterval(timer);
      for (const stop of listening) stop();
    });
  }

  /** An error that says `what` and shows the ends of both serial lines. */
  failure(what: string): BootFailure {
    const ends = [this.console, this.log].map((port) => `--- the end of ${port.name}:\n${port.tail() || "(nothing)"}`);
    const complaint = this.complaints === "" ? [] : [`--- QEMU said:\n${this.complaints.trimEnd()}`];
    return new BootFailure([what, ...complaint, ...ends].join("\n"));
  }

  /** Ends the emulator, if it still runs, and removes its files. */
  async stop(): Promise<void> {
    if (this.emulator !== undefined) {
      this.emulator.kill("SIGKILL");
      await this.ended;
    }
    this.console.close();
    this.log.close();
    this.qmp.close();
    process.off("exit", this.removeAtExit);
    await rm(this.folder, { recursive: true, force: true });
  }

  private async powerOn(pc: PcOptions, medium: Medium): Promise<void> {
    const file = (name: string): string => join(this.folder, name);
    const files: PcFiles = {
      firmwareVariables: file("variables.fd"),
      bootDisk: file("boot.img"),
      consoleSocket: file("console"),
      logSocket: file("log"),
      qmpSocket: file("qmp"),
    };
    this.removeAtExit = () => rmSync(this.folder, { recursive: true, force: true });
    process.on("exit", this.removeAtExit);
    const qemu = need("qemu-system-x86_64");
    await copyFile(need(firmwareVariables), files.firmwareVariables);
    await writeMedium(medium, files.bootDisk, this.folder);
    await this.console.listen(files.consoleSocket);
    await this.log.listen(files.logSocket);
    await this.qmp.listen(files.qmpSocket);
    this.console.whenSeen(/any other key to continue/, () => this.console.write("\r"));
    await this.launch(qemu, qemuArguments(pc, files));
  }

  private async launch(qemu: string, args: string[]): Promise<void> {
    // setpriv has the kernel end the emulator when this process dies, however it dies.
    const emulator = spawn("setpriv", ["--pdeathsig", "KILL", qemu, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    this.emulator = emulator;
    this.poweredOn = performance.now();
    for (const stream of [emulator.stdout, emulator.stderr])
      stream.on("data", (chunk: Buffer) => (this.complaints += chunk.toString()));
    emulator.on("close", (code) => this.end(code ?? -1));
    await new Promise((resolve, reject) => emulator.once("spawn", resolve).once("error", reject));
  }

  private race<T>(seconds: number, subscribe: (resolve: (value: T) => void) => () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer);
        unsubscribe();
      };
      const timer = setTimeout(() => {
        finish();
        reject(new Error(`${seconds} s have passed.`));
      }, seconds * 1000);
      void this.ended.then((code) => {
        finish();
        reject(new Error(`the PC ended first (exit code ${code}).`));
      });
      const unsubscribe = subscribe((value) => {
        clearTimeout(timer);
        resolve(value);
      });
    });
  }
}
