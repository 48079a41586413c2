import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { MissingEnvironmentError, messageOf } from "../errors.ts";
import { makeDebianGuest } from "../guest/linux.ts";
import { readGuestReport, type GuestReport } from "../guest/report.ts";
import { startupMedium, type SheerStart } from "../guest/startup.ts";
import { TransferServer, type Transfer } from "../guest/transfers.ts";
import { coreWasm, sheerEfi } from "../paths.ts";
import { Machine } from "../qemu/machine.ts";
import { unmetExpectations } from "./expectations.ts";
import { withTemporaryFolder } from "../temporary.ts";
import { watchStages, type StageTimes } from "./stages.ts";
import { demoProcessors, downloadBytes, uploadBytes } from "./workload.ts";

export interface DemoOptions {
  bare?: boolean;
  rom?: boolean;
  port?: number;
  progress: (line: string) => void;
  signal: AbortSignal;
}

export interface DemoResult {
  withSheer: boolean;
  guest: GuestReport;
  /** As measured here, not by the guest's clock. */
  download?: Transfer;
  upload?: Transfer;
  times: StageTimes;
  /** SHA-256 of core.wasm: of the file that was built, and as Sheer logged it. */
  core: { built?: string; logged?: string };
  /** What should have been seen and was not. */
  missing: string[];
  serialEnds: string;
}

/** Longer than the whole takes on a slow and busy machine, and than any stage of it is silent. */
const limits = { total: 400, silent: 90 };

/** Boots the demonstration's guest on a PC, with Sheer or bare, and collects what was seen. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const sheer = options.bare === true ? undefined : demoSheer();
  const server = new TransferServer(downloadBytes);
  await server.listen(options.port);
  try {
    return await withTemporaryFolder("demo", async (folder) => {
      const linux = await makeDebianGuest(folder);
      const append = `console=ttyS0 sheer.server=${server.addressInGuest} sheer.upload=${uploadBytes}`;
      const medium = startupMedium(sheer, { kind: "linux", ...linux, append });
      const machine = await Machine.start({ rom: options.rom ?? false, cpus: demoProcessors }, medium, options.signal);
      return watch(machine, server, sheer !== undefined, options.progress).finally(() => machine.stop());
    });
  } finally {
    server.close();
  }
}

function demoSheer(): SheerStart {
  if (!existsSync(sheerEfi)) throw new MissingEnvironmentError("dist/sheer.efi is not built yet; run: npm run build");
  return { efi: sheerEfi, settings: "log=0x3e8" };
}

async function watch(
  machine: Machine,
  server: TransferServer,
  withSheer: boolean,
  progress: (line: string) => void,
): Promise<DemoResult> {
  const times = watchStages(machine, progress);
  const problems = await machine.waitForEnd(limits.total, limits.silent).then(
    (code) => (code === 0 ? [] : [`the PC switching itself off (QEMU ended with exit code ${code})`]),
    (error: unknown) => [`the PC switching itself off (${messageOf(error).split("\n")[0]})`],
  );
  const seen = {
    withSheer,
    guest: readGuestReport(machine.console.text),
    ...(server.downloads[0] === undefined ? {} : { download: server.downloads[0] }),
    ...(server.uploads[0] === undefined ? {} : { upload: server.uploads[0] }),
    times,
    core: await coreHashes(machine.log.text),
  };
  const missing = [...unmetExpectations(seen, server.sha256, server.uploadSha256(uploadBytes)), ...problems];
  return { ...seen, missing, serialEnds: machine.failure("").message.trim() };
}

async function coreHashes(log: string): Promise<DemoResult["core"]> {
  const logged = /core\.wasm sha256 ([0-9a-f]{64})/.exec(log)?.[1];
  const built = existsSync(coreWasm)
    ? createHash("sha256")
        .update(await readFile(coreWasm))
        .digest("hex")
    : undefined;
  return { ...(built === undefined ? {} : { built }), ...(logged === undefined ? {} : { logged }) };
}
