import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { SheerError } from "../errors.ts";

interface Answer {
  return?: unknown;
  error?: { class: string; desc: string };
  event?: string;
  QMP?: unknown;
}

interface Question {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

/** Speaks QMP, the emulator's control protocol: one JSON object a line, answers in the order of the questions. */
export class Qmp {
  private readonly server: Server;
  private unfinishedLine = "";
  private readonly questions: Question[] = [];
  private readonly ready: Promise<Socket>;

  constructor() {
    this.server = createServer();
    this.ready = new Promise((resolve) => this.server.once("connection", (socket) => resolve(this.greet(socket))));
    // An emulator that ends at once breaks this off; whoever asks it something is told then.
    this.ready.catch(() => undefined);
  }

  async listen(path: string): Promise<void> {
    this.server.listen(path);
    await once(this.server, "listening");
  }

  /** One command, such as `execute("query-status")`. */
  async execute(command: string, parameters: Record<string, unknown> = {}): Promise<unknown> {
    const socket = await this.ready;
    return this.ask(socket, { execute: command, arguments: parameters });
  }

  /** One line for the emulator's human monitor, such as `monitor("info registers")`. */
  async monitor(line: string): Promise<string> {
    return (await this.execute("human-monitor-command", { "command-line": line })) as string;
  }

  async screendump(file: string): Promise<void> {
    await this.execute("screendump", { filename: file, format: "png" });
  }

  close(): void {
    this.server.close();
    this.hangUp();
    this.ready.then(
      (socket) => socket.destroy(),
      () => undefined,
    );
  }

  private async greet(socket: Socket): Promise<Socket> {
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.hangUp());
    socket.on("data", (chunk) => this.receiveText(chunk.toString()));
    await this.ask(socket, { execute: "qmp_capabilities" });
    return socket;
  }

  private ask(socket: Socket, question: object): Promise<unknown> {
    if (socket.destroyed) return Promise.reject(new SheerError("The emulator has ended; it takes no more commands."));
    return new Promise((resolve, reject) => {
      this.questions.push({ resolve, reject });
      socket.write(`${JSON.stringify(question)}\n`);
    });
  }

  private receiveText(text: string): void {
    const lines = (this.unfinishedLine + text).split("\n");
    this.unfinishedLine = lines.pop()!;
    for (const line of lines) this.receive(JSON.parse(line) as Answer);
  }

  private receive(answer: Answer): void {
    if (answer.event !== undefined || answer.QMP !== undefined) return;
    const question = this.questions.shift();
    if (answer.error !== undefined) question?.reject(new SheerError(`The emulator refused: ${answer.error.desc}`));
    else question?.resolve(answer.return);
  }

  private hangUp(): void {
    for (const question of this.questions.splice(0))
      question.reject(new SheerError("The emulator ended before it answered."));
  }
}
