// A client of `tuxlet serve` over a WebSocket, for browsers, Node 22, Deno and Bun; no packages are needed.
//
//   tuxlet serve --listen 127.0.0.1:7000 --token-file token --rm debian
//   node --experimental-strip-types tuxlet.ts 127.0.0.1:7000 TOKEN
//
// A page in a browser is let in only if the server was started with `--allow-origin` and the page's origin.

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Params = Record<string, unknown>;

export interface ExecResult {
  pid: number;
  exit_code: number;
  signal?: number;
  timed_out: boolean;
  truncated: boolean;
  duration: number;
  output?: string;
  stdout?: string;
  stderr?: string;
}

export interface Output {
  process: number;
  stream: "stdout" | "stderr" | "terminal";
  data: string;
}

export interface Exit {
  process: number;
  exit_code: number;
  signal?: number;
}

/** What the server answered instead of a result. */
export class Failed extends Error {
  code: number;
  /** The name of Linux' error number, such as ENOENT, if there is one. */
  errno?: string;

  constructor(error: { code: number; message: string; data?: { errno?: string } }) {
    super(error.message);
    this.code = error.code;
    this.errno = error.data?.errno;
  }
}

interface Waiting {
  resolve(value: unknown): void;
  reject(reason: Error): void;
}

/** A connection to a machine. */
export class Machine {
  #socket: WebSocket;
  #last = 0;
  #waiting = new Map<number, Waiting>();
  #listeners = new Map<string, Set<(params: any) => void>>();

  private static async opened(socket: WebSocket): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve(), { once: true });
      socket.addEventListener("error", () => reject(new Error("no connection: is the token right?")), { once: true });
    });
  }

  /** Connects to `HOST:PORT`. */
  static async connect(address: string, token: string): Promise<Machine> {
    // Browsers cannot set headers of WebSockets: the token goes as a subprotocol.
    const socket = new WebSocket(`ws://${address}/ws`, ["tuxlet", `bearer.${token}`]);
    await Machine.opened(socket);
    return new Machine(socket);
  }

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", (event) => this.#receive(JSON.parse(String(event.data))));
    socket.addEventListener("close", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the server has gone"));
      this.#waiting.clear();
    });
  }

  #receive(message: any): void {
    if (message.id === undefined) {
      for (const listener of this.#listeners.get(message.method) ?? []) listener(message.params);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error) waiting?.reject(new Failed(message.error));
    else waiting?.resolve(message.result);
  }

  /** Calls a method. */
  call<T = Json>(method: string, params: Params = {}): Promise<T> {
    const id = ++this.#last;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
  }

  /** Hears of a notification until the function that it gives is called. */
  on<T>(method: string, listener: (params: T) => void): () => void {
    const all = this.#listeners.get(method) ?? new Set();
    this.#listeners.set(method, all);
    all.add(listener);
    return () => void all.delete(listener);
  }

  /** Runs a command line to its end. */
  exec(command: string, options: Params = {}): Promise<ExecResult> {
    return this.call<ExecResult>("guest.exec", { command, ...options });
  }

  /** Runs a program, and hears what it prints while it runs. */
  async run(argv: string[], hear: (output: Output) => void, stdin?: string): Promise<Exit> {
    const early: Output[] = [];
    let process: number | undefined;
    const off = this.on<Output>("guest.output", (output) => {
      if (process === undefined) early.push(output);
      else if (output.process === process) hear(output);
    });
    let ended: ((exit: Exit) => void) | undefined;
    const exits: Exit[] = [];
    const offExit = this.on<Exit>("guest.exit", (exit) => {
      if (ended && exit.process === process) ended(exit);
      else exits.push(exit);
    });
    try {
      const started = await this.call<{ process: number }>("guest.spawn", { argv, stdin: stdin !== undefined });
      process = started.process;
      for (const output of early) if (output.process === process) hear(output);
      if (stdin !== undefined) await this.call("guest.write", { process, data: stdin, end: true });
      const already = exits.find((exit) => exit.process === process);
      return already ?? (await new Promise<Exit>((resolve) => (ended = resolve)));
    } finally {
      off();
      offExit();
    }
  }

  close(): void {
    this.#socket.close();
  }
}

async function main(address: string, token: string): Promise<void> {
  const machine = await Machine.connect(address, token);
  await machine.call("fs.write", { path: "/tmp/greeting", data: "grüße\n" });
  const { exit_code, output } = await machine.exec("read /tmp/greeting", { timeout: 60000 });
  console.log("exec:", exit_code, output?.trim());
  const exit = await machine.run(
    ["/bin/sh", "-c", "cat"],
    ({ stream, data }) => console.log(`${stream}:`, data.trim()),
    "streamed\n",
  );
  console.log("exit code:", exit.exit_code);
  try {
    await machine.call("fs.stat", { path: "/absent" });
  } catch (error) {
    console.log("error:", (error as Failed).errno);
  }
  machine.close();
}

const node = (globalThis as any).process;
if (node?.argv?.[2] !== undefined) await main(node.argv[2], node.argv[3]);
