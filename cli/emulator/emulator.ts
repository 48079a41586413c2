import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SheerError } from "../errors.ts";
import { SerialPort, type SerialMatch } from "./serial.ts";

/** A boot that did not show what it should; the message ends with what both serial lines said last. */
export class BootFailure extends SheerError {}

/** Sheer's log has a serial port of its own, at the place of COM3; COM1 stays the guest's. */
export const logPort = 0x3e8;

/** An emulated PC while it runs: what all emulators have in common. */
export abstract class Emulator {
  /** COM1: the firmware's console, then the guest's. */
  readonly console = new SerialPort("the guest's console");
  /** The port at 0x3e8: Sheer's log. */
  readonly log = new SerialPort("Sheer's log");
  /** The emulator's exit code, once it has ended: 0 if the guest switched the PC off, -1 if a signal ended it. */
  readonly ended: Promise<number>;
  /** When power came on, in milliseconds of `performance.now()`. */
  poweredOn = 0;

  private child: ChildProcess | undefined;
  /** What the emulator itself has said. */
  complaints = "";
  private end!: (code: number) => void;
  private readonly folder = mkdtempSync(join(tmpdir(), "sheer-"));
  private readonly removeAtExit = (): void => rmSync(this.folder, { recursive: true, force: true });

  protected constructor(
    /** The emulator's name. */
    readonly name: string,
    signal?: AbortSignal,
  ) {
    this.ended = new Promise((resolve) => (this.end = resolve));
    process.on("exit", this.removeAtExit);
    signal?.addEventListener("abort", () => this.child?.kill("SIGKILL"));
    this.console.whenSeen(/any other key to continue/, () => this.console.write("\r"));
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

  /** What the emulator has used of this machine's processors, in seconds: fields 14 and 15 of proc(5)'s stat, in 1/100 s. */
  processorSeconds(): number {
    const status = readFileSync(`/proc/${this.child?.pid}/stat`, "latin1");
    const [user, system] = status
      .slice(status.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13);
    return (Number(user) + Number(system)) / 100;
  }

  /** An error that says `what` and shows the ends of both serial lines. */
  failure(what: string): BootFailure {
    const ends = [this.console, this.log].map((port) => `--- the end of ${port.name}:\n${port.tail() || "(nothing)"}`);
    const complaint = this.complaints === "" ? [] : [`--- ${this.name} said:\n${this.complaints.trimEnd()}`];
    return new BootFailure([what, ...complaint, ...ends].join("\n"));
  }

  /** Ends the emulator, if it still runs, and removes its files. */
  async stop(): Promise<void> {
    if (this.child !== undefined) {
      this.child.kill("SIGKILL");
      await this.ended;
    }
    this.console.close();
    this.log.close();
    process.off("exit", this.removeAtExit);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The name of a file that this PC has for itself, gone when it stops. */
  protected file(name: string): string {
    return join(this.folder, name);
  }

  /** Switches power on. `exitCode` may have another look at the code with which the emulator ended. */
  protected async launch(
    command: string[],
    environment: NodeJS.ProcessEnv = {},
    exitCode = (code: number): number => code,
  ): Promise<void> {
    // setpriv has the kernel end the emulator when this process dies, however it dies.
    const emulator = spawn("setpriv", ["--pdeathsig", "KILL", ...command], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    this.child = emulator;
    this.poweredOn = performance.now();
    for (const stream of [emulator.stdout, emulator.stderr])
      stream.on("data", (chunk: Buffer) => this.receiveComplaint(chunk.toString()));
    emulator.on("close", (code) => this.end(exitCode(code ?? -1)));
    await new Promise((resolve, reject) => emulator.once("spawn", resolve).once("error", reject));
  }

  protected receiveComplaint(text: string): void {
    this.complaints += text;
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
