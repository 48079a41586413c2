import { createWriteStream } from "node:fs";
import type { SerialPort } from "../emulator/serial.ts";

const controlC = 3;

/** Shows a serial line on the terminal and sends it what is typed; returns how to end that. */
export function attachTerminal(port: SerialPort): () => void {
  const stopShowing = port.onData((chunk) => void process.stdout.write(chunk));
  if (!process.stdin.isTTY) return () => void stopShowing();
  const type = (keys: Buffer): void => {
    // A raw terminal hands Ctrl-C on as a key; for us it still means to stop.
    if (keys.includes(controlC)) process.kill(process.pid, "SIGINT");
    else port.write(keys);
  };
  process.stdin.setRawMode(true).on("data", type).resume();
  return () => {
    stopShowing();
    process.stdin.setRawMode(false).off("data", type).pause();
  };
}

/** Writes what comes over a serial line into a file, as it comes. */
export function attachFile(port: SerialPort, file: string): () => void {
  const stream = createWriteStream(file);
  // What came before this was attached is in the port's text.
  stream.write(port.text);
  const stop = port.onData((chunk) => void stream.write(chunk));
  return () => {
    stop();
    stream.end();
  };
}
