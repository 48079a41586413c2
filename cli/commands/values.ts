import { once } from "node:events";
import { createServer } from "node:net";
import { InvalidArgumentError } from "commander";
import { SheerError } from "../errors.ts";

/** Reads an option's value that counts something. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
  return value;
}

export function portNumber(text: string): number {
  const value = positiveNumber(text);
  if (value > 65535) throw new InvalidArgumentError("A port is a number up to 65535.");
  return value;
}

/** Reads HOST:GUEST, two TCP ports, and adds it to those already given. */
export function portForward(
  text: string,
  earlier: { host: number; guest: number }[] = [],
): { host: number; guest: number }[] {
  const [host, guest, ...rest] = text.split(":");
  if (host === undefined || guest === undefined || rest.length > 0)
    throw new InvalidArgumentError("Write two ports, as in 8080:80.");
  return [...earlier, { host: portNumber(host), guest: portNumber(guest) }];
}

/** Fails with a clear sentence when a port of the loopback is taken; the emulator's own would come much later. */
export async function freePort(port: number): Promise<void> {
  const probe = createServer().listen(port, "127.0.0.1");
  await once(probe, "listening").catch(() => {
    throw new SheerError(`Port ${port} of 127.0.0.1 is in use or not allowed; choose another.`);
  });
  probe.close();
}
