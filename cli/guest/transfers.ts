import { createCipheriv, createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { SheerError } from "../errors.ts";
import { wallClock } from "./clock.ts";

export interface Transfer {
  bytes: number;
  sha256: string;
  /** From the request's arrival to the moment when the receiving side had all, by the server's clock. */
  took: number;
}

/** This machine's loopback as the guest sees it through the emulator's network. */
export const loopbackInGuest = "10.0.2.2";

/** Text that looks random and is the same every time; text, since the guest's wget posts no zero bytes. */
export function seededText(length: number, seed = "sheer demonstration"): Buffer {
  const key = createHash("sha256").update(seed).digest().subarray(0, 16);
  const random = createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(length));
  return Buffer.from(random.toString("base64").slice(0, length), "latin1");
}

export function sha256Of(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The HTTP server on the loopback that the guest downloads from (/download) and uploads to (/upload). */
export class TransferServer {
  readonly downloads: Transfer[] = [];
  readonly uploads: Transfer[] = [];
  readonly content: Buffer;
  readonly sha256: string;
  private readonly server: Server;

  constructor(
    downloadBytes: number,
    private readonly clock = wallClock,
  ) {
    this.content = seededText(downloadBytes);
    this.sha256 = sha256Of(this.content);
    this.server = createServer((request, response) => void this.answer(request, response).catch(() => undefined));
  }

  /** Port 0 lets the system choose. */
  async listen(port = 0): Promise<void> {
    this.server.listen(port, "127.0.0.1");
    await once(this.server, "listening").catch((error: unknown) => {
      const { code } = error as { code?: string };
      const advice = code === "EADDRINUSE" ? "is in use; choose another or leave it out" : `cannot be used (${code})`;
      throw new SheerError(`Port ${port} of 127.0.0.1 ${advice}.`);
    });
  }

  /** Where the guest finds this server. */
  get addressInGuest(): string {
    return `${loopbackInGuest}:${(this.server.address() as AddressInfo).port}`;
  }

  /** The hash of what the guest sends: the beginning of what it downloaded. */
  uploadSha256(bytes: number): string {
    return sha256Of(this.content.subarray(0, bytes));
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("Connection", "close");
    if (request.method === "GET" && request.url === "/download") await this.send(request, response);
    else if (request.method === "POST" && request.url === "/upload") await this.receive(request, response);
    else response.writeHead(404).end();
  }

  private async send(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const start = await this.clock();
    const bytes = this.content.length;
    // The guest hangs up when it has read all; that is later than when the last byte left this program.
    const gone = once(request.socket, "close");
    response.writeHead(200, { "Content-Length": bytes }).end(this.content);
    await gone;
    this.downloads.push({ bytes, sha256: this.sha256, took: (await this.clock()) - start });
  }

  private async receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const start = await this.clock();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const took = (await this.clock()) - start;
    response.writeHead(200, { "Content-Length": 0 }).end();
    const content = Buffer.concat(chunks);
    this.uploads.push({ bytes: content.length, sha256: sha256Of(content), took });
  }
}
