import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { wallClock } from "./clock.ts";
import { loopbackInGuest } from "./transfers.ts";

/** Round trips before a connection has come to its pace. */
const warmUp = 200;

/** A TCP server on the loopback that sends a byte to whoever connects, waits for it to come back, and sends the next. */
export class PingServer {
  /** What a round trip took by the server's clock, one figure for each connection that made all of them. */
  readonly roundTrips: number[] = [];
  private readonly server: Server;

  constructor(
    private readonly rounds: number,
    private readonly clock = wallClock,
  ) {
    this.server = createServer({ noDelay: true }, (socket) => void this.play(socket).catch(() => undefined));
  }

  async listen(): Promise<void> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
  }

  /** Where the guest finds this server. */
  get addressInGuest(): string {
    return `${loopbackInGuest}:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
  }

  private async play(socket: Socket): Promise<void> {
    try {
      await this.exchange(socket, warmUp);
      const start = await this.clock();
      await this.exchange(socket, this.rounds);
      this.roundTrips.push(((await this.clock()) - start) / this.rounds);
    } finally {
      socket.destroy();
    }
  }

  private async exchange(socket: Socket, rounds: number): Promise<void> {
    const ended = once(socket, "close").then(() => Promise.reject(new Error("the guest hung up")));
    ended.catch(() => undefined);
    for (let round = 0; round < rounds; round++) {
      socket.write("x");
      await Promise.race([once(socket, "data"), ended]);
    }
  }
}
