// Fifty boots of Debian on Sheer in a row, on a PC with four processors: whether what mostly works always works. Not part
// of `npm test`, for it takes half an hour. Each boot must show Sheer on every processor, an address by DHCP, a ping and
// a power-off. Ctrl-C stops it. Needs what `npm run build` makes.
//
//     npx tsx test/fifty-boots.ts [BOOTS [PROCESSORS]]
import { existsSync } from "node:fs";
import { messageOf, MissingEnvironmentError, SheerError } from "../cli/errors.ts";
import { makeDebianGuest, type Linux } from "../cli/guest/linux.ts";
import { isContained, readGuestReport } from "../cli/guest/report.ts";
import { startupMedium } from "../cli/guest/startup.ts";
import { interruptible } from "../cli/interruption.ts";
import { sheerEfi } from "../cli/paths.ts";
import { Machine } from "../cli/qemu/machine.ts";
import { withTemporaryFolder } from "../cli/temporary.ts";

const [boots = 50, cpus = 4] = process.argv.slice(2).map(Number);
/** Longer than a boot takes on a slow and busy machine, and than any part of it is silent. */
const limits = { total: 400, silent: 120 };

/** Boots once; returns what was not as it should be, with the ends of both serial lines. */
async function bootOnce(linux: Linux, signal: AbortSignal): Promise<string | undefined> {
  const sheer = { efi: sheerEfi, settings: "log=0x3e8" };
  const medium = startupMedium(sheer, { kind: "linux", ...linux, append: "console=ttyS0" });
  const machine = await Machine.start({ cpus }, medium, signal);
  try {
    const code = await machine.waitForEnd(limits.total, limits.silent);
    const missing = [...whatIsMissing(machine), ...(code === 0 ? [] : [`power-off (exit code ${code})`])];
    return missing.length === 0 ? undefined : machine.failure(`Not seen: ${missing.join(", ")}`).message;
  } catch (error) {
    return messageOf(error);
  } finally {
    await machine.stop();
  }
}

function whatIsMissing({ console, log }: Machine): string[] {
  const { processors, lease, ping, done } = readGuestReport(console.text);
  const contained = processors.filter(isContained).length;
  const expected: [string, boolean][] = [
    [`Sheer on ${cpus} processors, only on ${contained}`, contained === cpus && processors.length === cpus],
    ["an address by DHCP", lease !== undefined],
    ["the answer to a ping", ping],
    ["the end of the guest's init", done],
    ["a log without errors", !/error:/.test(log.text)],
  ];
  return expected.filter(([, seen]) => !seen).map(([what]) => what);
}

async function bootAll(folder: string, signal: AbortSignal): Promise<void> {
  const linux = await makeDebianGuest(folder);
  let failed = 0;
  for (let number = 1; number <= boots; number++) {
    const start = performance.now();
    const problem = await bootOnce(linux, signal);
    signal.throwIfAborted();
    if (problem !== undefined) failed++;
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`boot ${number} of ${boots}: ${problem === undefined ? "good" : `FAILED\n${problem}`} (${seconds} s)`);
  }
  console.log(`${boots - failed} of ${boots} boots with ${cpus} processors were good`);
  if (failed > 0) process.exitCode = 1;
}

try {
  if (!existsSync(sheerEfi)) throw new MissingEnvironmentError("dist/sheer.efi is not built yet; run: npm run build");
  if (![boots, cpus].every((value) => Number.isInteger(value) && value > 0))
    throw new SheerError("BOOTS and PROCESSORS are whole numbers above 0.");
  await interruptible((signal) => withTemporaryFolder("boots", (folder) => bootAll(folder, signal)));
} catch (error) {
  if (!(error instanceof SheerError)) throw error;
  console.error(error.message);
  process.exitCode = error.exitCode;
}
