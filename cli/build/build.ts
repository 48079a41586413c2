import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import { copyFile, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { functionNames, namesSource } from "./names.ts";
import { patchGeneratedCode } from "./patches.ts";
import { findTools, type Tools } from "./tools.ts";

const run = promisify(execFile);
const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const require = createRequire(import.meta.url);

/** Linear memory in wasm pages of 64 KiB: LINEAR_SIZE of metal/types.h. */
const LINEAR_PAGES = 176;

export interface BuildOptions {
  /** Told what is being done, for progress. */
  onStage?: (stage: string) => void;
  signal?: AbortSignal;
}

export interface BuildResult {
  efi: string;
  efiBytes: number;
  coreHash: string;
}

const C_FLAGS =
  "--target=x86_64-unknown-windows -std=c11 -U_MSC_VER -O2 -ffreestanding -fno-builtin -fno-stack-protector -mno-red-zone " +
  "-mgeneral-regs-only -mno-stack-arg-probe -fno-delete-null-pointer-checks -fno-strict-aliasing -nostdlibinc -fno-ident " +
  "-Wall -Werror -Wno-unused-function -Wno-unused-variable -Wno-unused-but-set-variable -Wno-parentheses-equality";

/** One build: where its files go, and the tools it calls. */
class Build {
  constructor(
    private readonly work: string,
    private readonly tools: Tools,
    private readonly signal: AbortSignal | undefined,
  ) {}

  private async call(program: string, args: string[]): Promise<void> {
    try {
      await run(program, args, { cwd: root, maxBuffer: 64 << 20, ...(this.signal ? { signal: this.signal } : {}) });
    } catch (error) {
      const {
        stdout = "",
        stderr = "",
        message = "",
      } = error as { stdout?: string; stderr?: string; message?: string };
      if (this.signal?.aborted) throw new Error("The build was stopped.");
      throw new Error(`${program} failed:\n${stdout}${stderr}` + (stdout + stderr === "" ? message : ""));
    }
  }

  /** TypeScript to core.wasm, and its text, for the tests that read it. */
  async compileCore(entry: string, wasm: string): Promise<void> {
    const asc = join(dirname(require.resolve("assemblyscript/package.json")), "bin/asc.js");
    const flags =
      `--runtime stub --optimizeLevel 1 --shrinkLevel 0 --noAssert --debug --memoryBase 8192 --enable threads ` +
      `--initialMemory ${LINEAR_PAGES} --maximumMemory ${LINEAR_PAGES} --use abort=src/runtime/abort/onAbort`;
    await this.call(process.execPath, [
      asc,
      entry,
      "src/runtime/abort.ts",
      "-o",
      wasm,
      "-t",
      wasm.replace(/wasm$/, "wat"),
      ...flags.split(" "),
    ]);
  }

  async translate(wasm: string): Promise<void> {
    const wasm2c = join(dirname(require.resolve("wabt/package.json")), "bin/wasm2c");
    const output = join(this.work, "core.c");
    await this.call(process.execPath, [wasm2c, wasm, "-o", output, "-n", "core", "--enable-threads"]);
    await writeFile(output, patchGeneratedCode(await readFile(output, "utf8")));
  }

  async compileC(source: string, object: string): Promise<void> {
    const includes = ["-I", "metal/include", "-I", "metal", "-I", this.work];
    await this.call(this.tools.clang, [
      ...C_FLAGS.split(" "),
      ...includes,
      "-c",
      source,
      "-o",
      join(this.work, object),
    ]);
  }

  /** The guest's side of the hypercalls: a static Linux program without a C library. */
  async compileSheerctl(output: string): Promise<void> {
    const flags =
      "--target=x86_64-unknown-linux-gnu -std=c11 -O2 -Wall -Werror -ffreestanding -fno-stack-protector -mgeneral-regs-only " +
      "-fno-ident -fno-pic -nostdlib -static -fuse-ld=lld -Wl,--build-id=none";
    await this.call(this.tools.clang, [...flags.split(" "), "metal/linux/sheerctl.c", "-o", output]);
  }

  /** Links; returns the map file's text. */
  async link(output: string): Promise<string> {
    const map = join(this.work, "sheer.map");
    const objects = ["main.obj", "names.obj"].map((name) => join(this.work, name));
    const flags = "/subsystem:efi_application /entry:efi_main /nodefaultlib /timestamp:0";
    await this.call(this.tools.lld, [...flags.split(" "), `/map:${map}`, `/out:${output}`, ...objects]);
    return readFile(map, "utf8");
  }

  /** Links twice: the table of names comes from the first link and lies behind all else, so nothing moves. */
  async linkWithNames(output: string): Promise<void> {
    const names = join(this.work, "names.c");
    await writeFile(names, namesSource([]));
    await this.compileC(names, "names.obj");
    const functions = functionNames(await this.link(output));
    await writeFile(names, namesSource(functions));
    await this.compileC(names, "names.obj");
    const moved = functionNames(await this.link(output));
    if (JSON.stringify(moved) !== JSON.stringify(functions))
      throw new Error("The table of names moved the code it names.");
  }
}

/** A core and the program around it, from TypeScript to the UEFI program; returns the SHA-256 of its core.wasm. */
async function buildProgram(entry: string, efi: string, work: string, options: BuildOptions): Promise<string> {
  const stage = options.onStage ?? (() => {});
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  const step = new Build(work, await findTools(), options.signal);
  const wasm = join(work, "core.wasm");
  stage(`${entry} to wasm`);
  await step.compileCore(entry, wasm);
  const hash = createHash("sha256")
    .update(await readFile(wasm))
    .digest("hex");
  stage("wasm to C");
  await step.translate(wasm);
  await writeFile(join(work, "hash.h"), `#define CORE_SHA256 "${hash}"\n`);
  stage(`C to ${basename(efi)}`);
  await step.compileC("metal/main.c", "main.obj");
  await step.linkWithNames(efi);
  return hash;
}

/** Builds dist/core.wasm, dist/sheer.efi and dist/sheerctl. The same sources give the same bytes. */
export async function build(options: BuildOptions = {}): Promise<BuildResult> {
  const dist = join(root, "dist");
  const work = join(dist, "build");
  const efi = join(dist, "sheer.efi");
  const coreHash = await buildProgram("src/main.ts", efi, work, options);
  await copyFile(join(work, "core.wasm"), join(dist, "core.wasm"));
  await new Build(work, await findTools(), options.signal).compileSheerctl(join(dist, "sheerctl"));
  return { efi, efiBytes: (await stat(efi)).size, coreHash };
}

/**
 * Builds another UEFI program in the way of sheer.efi, with a core of its own: a program for a guest to run, or a Sheer
 * for a test. `entry` is its TypeScript file from the project's root; the program is dist/programs/NAME.efi.
 */
export async function buildProgramOf(entry: string, options: BuildOptions = {}): Promise<string> {
  const folder = join(root, "dist/programs");
  const name = basename(entry, ".ts");
  const efi = join(folder, `${name}.efi`);
  await buildProgram(entry, efi, join(folder, "build", name), options);
  return efi;
}
