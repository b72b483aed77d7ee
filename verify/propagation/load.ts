import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';

const BODY = JSON.stringify({ inputs: [{ name: 'X', shape: [1], datatype: 'FP32', data: [1] }] });

export interface Asked {
  readonly url: string;
  readonly key: string;
  readonly endpoint: string;
}

/** The revision that answered; rejects on anything but a 200. */
export function ask(agent: Agent, { url, key, endpoint }: Asked, pin?: number): Promise<number> {
  const headers = {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'content-length': BODY.length,
    ...(pin === undefined ? {} : { 'sluice-revision': String(pin) }),
  };
  return new Promise((resolve, reject) => {
    const sending = request(`${url}/v2/models/${endpoint}/infer`, { agent, method: 'POST', headers }, (response) => {
      response.resume();
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Number(response.headers['sluice-revision']));
        else reject(new Error(`answered ${response.statusCode}`));
      });
    });
    sending.on('error', reject);
    sending.end(BODY);
  });
}

/** One answer of a gateway: moments of `performance.now()`. */
export interface Answer {
  readonly asked: number;
  readonly came: number;
  readonly revision: number;
}

const PAUSE_MS = 2;

/** Requests to one gateway, one after the other on each connection, with a breath between. */
export class Load {
  readonly answers: Answer[] = [];
  failed = 0;
  private readonly agent: Agent;
  private readonly running: Promise<unknown>;
  private stopped = false;

  constructor(asked: Asked, connections: number) {
    this.agent = new Agent({ keepAlive: true, maxSockets: connections });
    this.running = Promise.all(Array.from({ length: connections }, () => this.run(asked)));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
    this.agent.destroy();
  }

  private async run(asked: Asked): Promise<void> {
    while (!this.stopped) {
      const began = performance.now();
      try {
        const revision = await ask(this.agent, asked);
        this.answers.push({ asked: began, came: performance.now(), revision });
      } catch {
        this.failed++;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
