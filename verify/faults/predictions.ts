/** The application: predictions at a fixed rate, none of them repeated, each answer compared with the first of its row. */
import { Agent, request } from 'node:http';

export interface Failure {
  /** When the request began, in milliseconds since the epoch. */
  readonly at: number;
  readonly words: string;
}

export interface Predictions {
  readonly sent: number;
  readonly answered: number;
  readonly wrong: number;
  readonly failures: readonly Failure[];
  /** Moments at which requests began that were answered well, and how long they took; of the current round. */
  readonly good: readonly { readonly at: number; readonly tookMs: number }[];
  /** Forgets `good`. */
  nextRound(): void;
  stop(): Promise<void>;
}

const TIMEOUT_MS = 30_000;

export function startPredictions(options: {
  readonly url: string;
  readonly key: string;
  readonly endpoint: string;
  readonly rows: readonly (readonly number[])[];
  readonly perSecond: number;
}): Predictions {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const target = new URL(options.url);
  const path = `/v2/models/${options.endpoint}/infer`;
  const labels = new Map<number, unknown>();
  const inFlight = new Set<Promise<void>>();
  const failures: Failure[] = [];
  let good: { at: number; tookMs: number }[] = [];
  let sent = 0;
  let answered = 0;
  let wrong = 0;

  const one = async (serial: number): Promise<void> => {
    const row = serial % options.rows.length;
    const body = JSON.stringify({
      inputs: [{ name: 'X', datatype: 'FP32', shape: [1, 64], data: options.rows[row] }],
      outputs: [{ name: 'label' }],
    });
    const at = Date.now();
    sent++;
    try {
      const { status, text } = await post(agent, target, path, options.key, body);
      if (status !== 200) throw new Error(`${status} ${text.slice(0, 200)}`);
      const label = (JSON.parse(text) as { outputs: { data: unknown[] }[] }).outputs[0]?.data[0];
      if (!labels.has(row)) labels.set(row, label);
      if (labels.get(row) !== label) wrong++;
      answered++;
      good.push({ at, tookMs: Date.now() - at });
    } catch (error) {
      failures.push({ at, words: error instanceof Error ? error.message : String(error) });
    }
  };

  const began = Date.now();
  let serial = 0;
  const timer = setInterval(() => {
    for (const due = ((Date.now() - began) / 1000) * options.perSecond; serial < due; ) {
      const sending = one(serial++).finally(() => inFlight.delete(sending));
      inFlight.add(sending);
    }
  }, 5);

  return {
    get sent() {
      return sent;
    },
    get answered() {
      return answered;
    },
    get wrong() {
      return wrong;
    },
    get good() {
      return good;
    },
    failures,
    nextRound() {
      good = [];
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(inFlight);
      agent.destroy();
    },
  };
}

function post(
  agent: Agent,
  url: URL,
  path: string,
  key: string,
  body: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    };
    const sending = request(
      { agent, host: url.hostname, port: url.port, method: 'POST', path, timeout: TIMEOUT_MS, headers },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        );
      },
    );
    sending.on('timeout', () => sending.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    sending.on('error', reject);
    sending.end(body);
  });
}
