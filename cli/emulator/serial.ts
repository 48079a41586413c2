import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { once } from "node:events";

export interface SerialMatch {
  match: RegExpExecArray;
  /** When the text arrived, in milliseconds of `performance.now()`. */
  at: number;
}

type Listener = (chunk: Buffer) => void;

const escapeSequence = /\x1b\[[0-9;?=]*[A-Za-z]/g; // eslint-disable-line no-control-regex
const unfinishedEscape = /\x1b(\[[0-9;?=]*)?$/; // eslint-disable-line no-control-regex

/**
 * One serial line of the PC, as the far end of the cable: the emulator connects to a socket of ours. Keeps all that
 * came, freed of the terminal's escape sequences, so that a test can look for text that has long passed.
 */
export class SerialPort {
  text = "";
  private unfinished = "";
  private socket: Socket | undefined;
  private readonly listeners = new Set<Listener>();
  private readonly server: Server;

  constructor(readonly name: string) {
    this.server = createServer((socket) => {
      this.socket = socket;
      socket.on("data", (chunk) => this.receive(chunk));
      // A reset is how a killed emulator hangs up.
      socket.on("error", () => socket.destroy());
    });
  }

  /**
   * Opens a port of this machine's loopback for the emulator, and returns its number. A socket in the file system would not
   * do: Linux lets it hold a few hundred single characters, and QEMU's UART drops what it cannot hand on.
   */
  async listen(): Promise<number> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return (this.server.address() as AddressInfo).port;
  }

  write(text: string | Buffer): void {
    this.socket?.write(text);
  }

  /** Calls back with every raw chunk from now on; returns how to stop that. */
  onData(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Calls back once with the first match in all text there was or will be; returns how to stop waiting. */
  whenSeen(pattern: RegExp, callback: (found: SerialMatch) => void): () => void {
    const look = (): boolean => {
      const match = new RegExp(pattern.source, pattern.flags.replace("g", "")).exec(this.text);
      if (match !== null) callback({ match, at: performance.now() });
      return match !== null;
    };
    if (look()) return () => undefined;
    const stop = this.onData(() => {
      if (look()) stop();
    });
    return stop;
  }

  /** The last lines, for a report of what went wrong. */
  tail(lines = 30): string {
    return this.text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  close(): void {
    this.socket?.destroy();
    this.server.close();
  }

  private receive(chunk: Buffer): void {
    const raw = this.unfinished + chunk.toString("latin1");
    this.unfinished = unfinishedEscape.exec(raw)?.[0] ?? "";
    const whole = raw.slice(0, raw.length - this.unfinished.length);
    this.text += whole.replace(escapeSequence, "").replaceAll("\r", "");
    for (const listener of [...this.listeners]) listener(chunk);
  }
}
