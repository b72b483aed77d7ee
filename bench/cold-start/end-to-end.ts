/** Cold requests over HTTP: many endpoints of one model, each of which is asked for the first time once. */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayProcess } from '../../tests/support/gateway-process.js';

/** Time in which a gateway has its next spare warm, and what was deleted is gone. */
const SETTLE_MS = 1500;
const SCALING = { minReplicas: 0, maxReplicas: 1, concurrency: 8 };

export class EndToEnd {
  static readonly body = Buffer.from(
    JSON.stringify({
      inputs: [{ name: 'X', shape: [1, 64], datatype: 'FP32', data: Array.from({ length: 64 }, (_, at) => at % 17) }],
    }),
  );
  private static count = 0;
  private readonly model = `m${++EndToEnd.count}`;
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(private readonly gateway: GatewayProcess) {}

  async prepare(bytes: Buffer, endpoints: number): Promise<void> {
    const version = await this.gateway.upload(this.model, bytes);
    for (let at = -1; at < endpoints; at++)
      await this.gateway.serve(this.name(at), this.model, version, { scaling: SCALING });
    // one that is not counted: it lays the artifact out, and runs all code once
    await this.coldRequest(-1);
  }

  /** The first request of an endpoint, in milliseconds from sending to the whole answer. */
  async coldRequest(at: number): Promise<number> {
    await sleep(SETTLE_MS);
    return this.request(at);
  }

  async request(at: number): Promise<number> {
    const { url, key } = this.gateway;
    const headers = {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'content-length': EndToEnd.body.length,
    };
    const began = performance.now();
    await new Promise<void>((resolve, reject) => {
      const sending = request(
        `${url}/v2/models/${this.name(at)}/infer`,
        { agent: this.agent, method: 'POST', headers },
        (response) => {
          response.resume();
          response.on('error', reject);
          response.on('end', () =>
            response.statusCode === 200 ? resolve() : reject(new Error(`answered ${response.statusCode}`)),
          );
        },
      );
      sending.on('error', reject);
      sending.end(EndToEnd.body);
    });
    return performance.now() - began;
  }

  /** Ends the replica of an endpoint that was measured. */
  async remove(at: number): Promise<void> {
    await this.gateway.client.delete(`/api/v1/endpoints/${this.name(at)}`);
  }

  private name(at: number): string {
    return `${this.model}-${at + 1}`;
  }
}
