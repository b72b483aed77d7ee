/** kubectl, as a person would use it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { messageOf } from '../../src/errors.js';
import { eventually } from '../../tests/support/children.js';

export interface Forward {
  readonly url: string;
  stop(): Promise<void>;
}

export class Kubectl {
  /** `command`: the program and its first arguments. */
  constructor(
    private readonly command: readonly string[],
    private readonly kubeconfig: string,
  ) {}

  async run(args: readonly string[], input?: string): Promise<string> {
    const [program = '', ...first] = this.command;
    const child = promisify(execFile)(program, [...first, '--kubeconfig', this.kubeconfig, ...args], {
      maxBuffer: 256 * 2 ** 20,
    });
    if (input !== undefined) child.child.stdin?.end(input);
    return (await child).stdout;
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.run([...args, '-o', 'json'])) as T;
  }

  /** A port of this machine that leads to one of the cluster, for as long as its pod lives. */
  async forward(namespace: string, target: string, port: number): Promise<Forward> {
    const [program = '', ...first] = this.command;
    const args = [...first, '--kubeconfig', this.kubeconfig, '-n', namespace, 'port-forward', target, `:${port}`];
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const local = await listening(child, target);
    return {
      url: `http://127.0.0.1:${local}`,
      async stop() {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill();
        await once(child, 'exit');
      },
    };
  }

  /** Asks again and again until the answer is as it should be. */
  async until<T>(what: string, args: readonly string[], holds: (object: T) => boolean, seconds = 120): Promise<T> {
    let last: T | undefined;
    await eventually(async () => {
      last = await this.json<T>(args).catch(() => undefined);
      return last !== undefined && holds(last);
    }, seconds * 1000).catch((error) => {
      throw new Error(`${what}: ${messageOf(error)}; last seen: ${JSON.stringify(last)?.slice(0, 2000)}`);
    });
    return last as T;
  }
}

function listening(child: ChildProcess, target: string): Promise<number> {
  let text = '';
  return new Promise((resolve, reject) => {
    const heard = (chunk: Buffer) => {
      text += chunk.toString('utf8');
      const port = /127\.0\.0\.1:(\d+) ->/.exec(text)?.[1];
      if (port !== undefined) resolve(Number(port));
    };
    child.stdout?.on('data', heard);
    child.stderr?.on('data', heard);
    child.once('exit', () => reject(new Error(`no way to ${target}: ${text.trim()}`)));
  });
}
