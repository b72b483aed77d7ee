/** One process that holds a Python model: asked one thing at a time, over a socket of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex, Readable } from 'node:stream';
import { AppError } from '../../errors.js';
import type { Log } from '../../log.js';
import type { Tensor } from '../../protocol/tensor.js';
import { type LoadedReply, printRequest, type Reply, ReplyReader, type Request } from './messages.js';
import { workerProgram } from './program.js';

export interface WorkerOptions {
  readonly python: string;
  /** The model's folder. */
  readonly path: string;
  readonly threads: number;
  readonly log: Log | undefined;
}

/** How long a worker that is told to end may take. */
const STOP_MS = 3000;
/** What is kept of what it wrote to stderr. */
const TAIL_CHARS = 2000;
const TAIL_LINES = 3;

/** Processes that must not outlive this one; `exit` handlers run synchronously, and a kill is that. */
const running = new Set<WorkerProcess>();
process.on('exit', () => {
  for (const worker of running) worker.kill();
});

export class WorkerProcess {
  /** Says how it ended, in words. */
  readonly ended: Promise<string>;
  private readonly child: ChildProcess;
  private readonly channel: Duplex;
  private waiting: { resolve(reply: Reply): void; reject(error: Error): void } | undefined;
  private tail = '';
  private over = false;

  /** Starts the process; `load` comes next. */
  constructor(private readonly options: WorkerOptions) {
    // in a group of its own: what the model starts ends with it
    this.child = spawn(options.python, [workerProgram()], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    running.add(this);
    this.channel = this.child.stdio[3] as Duplex;
    this.listen('stdout', this.child.stdout);
    this.listen('stderr', this.child.stderr);
    const reader = new ReplyReader((reply) => {
      const asked = this.waiting;
      this.waiting = undefined;
      asked?.resolve(reply);
    });
    this.channel.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        this.waiting?.reject(error as Error);
        this.kill();
      }
    });
    // its end says more than the channel's
    this.channel.on('error', () => {});
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(`${options.python} could not be started: ${error.message}`));
      // 'close' comes after its last output; what it started may hold that open, so not for ever
      this.child.once('exit', (code, signal) => {
        this.kill();
        const tell = () => resolve(this.words(code, signal));
        this.child.once('close', tell);
        setTimeout(tell, 200).unref();
      });
    });
    void this.ended.then((how) => {
      this.over = true;
      running.delete(this);
      this.channel.destroy();
      this.waiting?.reject(new AppError('upstream_failed', `the model's process ended: ${how}`));
      this.waiting = undefined;
    });
  }

  /** Loads the model; what the worker says of it. `invalid` with Python's words when that fails. */
  async load(): Promise<LoadedReply> {
    const { path, threads } = this.options;
    const reply = await this.ask({ kind: 'load', path, threads }, []);
    if (reply.kind === 'loaded') return reply;
    throw new AppError('internal', `the worker answered the load with "${reply.kind}"`);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Asks, and waits for the answer. Rejects with what went wrong in Python, or with how the process ended. */
  async ask(request: Request, inputs: readonly Tensor[]): Promise<Reply> {
    if (this.over) throw new AppError('upstream_failed', `the model's process ended: ${await this.ended}`);
    if (this.waiting) throw new AppError('internal', 'a worker was asked two things at once');
    const answer = new Promise<Reply>((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
    // one write for all pieces
    this.channel.cork();
    for (const piece of printRequest(request, inputs)) this.channel.write(piece);
    this.channel.uncork();
    const reply = await answer;
    if (reply.kind !== 'failed') return reply;
    const { log } = this.options;
    const doing = request.kind === 'load' ? 'cannot load the model' : 'the model failed';
    // a load fails once, a request as often as clients send it
    if (request.kind === 'load') log?.warn(doing, { traceback: reply.traceback });
    else log?.debug(doing, { traceback: reply.traceback });
    const said = this.withoutPath(reply.message);
    const ownWords = request.kind !== 'load' && reply.code !== 'internal';
    throw new AppError(reply.code, ownWords ? said : `${doing}: ${said}`);
  }

  /** Ends it in order: it sees its channel end, and is killed when it does not go. */
  async stop(): Promise<void> {
    this.channel.end();
    const timer = setTimeout(() => this.kill(), STOP_MS);
    await this.ended;
    clearTimeout(timer);
  }

  /** Ends it and all that it started, now. */
  kill(): void {
    // the number of one that is over may be another's
    if (this.over || this.pid === undefined) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // nobody is left in its group
    }
  }

  private listen(stream: 'stdout' | 'stderr', source: Readable | null): void {
    source?.setEncoding('utf8');
    source?.on('data', (text: string) => {
      if (stream === 'stderr') this.tail = (this.tail + text).slice(-TAIL_CHARS);
      for (const line of text.split('\n')) if (line.trim()) this.options.log?.debug('python', { stream, line });
    });
  }

  private words(code: number | null, signal: NodeJS.Signals | null): string {
    const lines = this.tail.trim().split('\n').slice(-TAIL_LINES).join(' | ');
    const how = signal ? `killed by ${signal}` : `exit code ${code}`;
    return `${how}${lines ? `: ${this.withoutPath(lines)}` : ''}`;
  }

  /** Where the model lies on this machine is nobody's business. */
  private withoutPath(text: string): string {
    return text.replaceAll(`${this.options.path}/`, '').replaceAll(this.options.path, '.');
  }
}
