/** Clients of the endpoint: a steady stream of predictions on real digits, each answer looked at. */
import { Agent, request } from 'node:http';

export interface DigitRows {
  /** 64 ink levels each, 0 to 16. */
  readonly rows: readonly (readonly number[])[];
  readonly labels: readonly number[];
}

export interface TrafficReport {
  readonly sent: number;
  readonly answered: number;
  /** Predictions that a user would have seen fail, other than those of `injected`. */
  readonly failed: number;
  /** Errors of the revision that is known to fail in serving. */
  readonly injected: number;
  readonly right: number;
  /** Answers whose users said whether they were right. */
  readonly reported: number;
  readonly byRevision: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The first few failures, in words. */
  readonly failures: readonly string[];
}

export interface Traffic {
  /** How many were answered so far. */
  answered(): number;
  stop(): Promise<TrafficReport>;
}

export interface TrafficOptions {
  readonly url: string;
  readonly key: string;
  readonly endpoint: string;
  readonly data: DigitRows;
  readonly perSecond: number;
  /** Whether an error is one that the demo injects. */
  isInjected(status: number, message: string): boolean;
}

/** How many different users there are; each keeps its revision while a canary grows. */
const USERS = 500;
/** Every so many requests come from a scanner that is twice as bright. */
const BRIGHT_EVERY = 5;
/** Reports that are sent at once. */
const MOST_REPORTS = 1000;

/** Sends requests at a fixed rate, whether or not earlier ones were answered: as users do. */
export function startTraffic(options: TrafficOptions): Traffic {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const target = new URL(options.url);
  const path = `/v2/models/${options.endpoint}/infer`;
  const feedbackPath = `/api/v1/endpoints/${options.endpoint}/feedback`;
  const inFlight = new Set<Promise<void>>();
  const latencies: number[] = [];
  const byRevision: Record<string, number> = {};
  const failures: string[] = [];
  const count = { sent: 0, answered: 0, failed: 0, injected: 0, right: 0, reported: 0 };
  let reports: { token: string; reward: number }[] = [];

  const one = async (serial: number): Promise<void> => {
    const at = serial % options.data.rows.length;
    const row = options.data.rows[at] ?? [];
    const ink = serial % BRIGHT_EVERY === 0 ? row.map((level) => level * 2) : row;
    const body = JSON.stringify({
      inputs: [{ name: 'X', datatype: 'FP32', shape: [1, 64], data: ink }],
      outputs: [{ name: 'label' }],
    });
    const began = performance.now();
    count.sent++;
    try {
      const answer = await post(agent, target, path, options.key, `user-${(serial * 7919) % USERS}`, body);
      if (answer.status === 200) {
        count.answered++;
        latencies.push(performance.now() - began);
        byRevision[answer.revision] = (byRevision[answer.revision] ?? 0) + 1;
        const { outputs } = JSON.parse(answer.body) as { outputs: { data: number[] }[] };
        const isRight = outputs[0]?.data[0] === options.data.labels[at];
        if (isRight) count.right++;
        // asked for by the endpoint's settings, while they do
        if (answer.token !== undefined) reports.push({ token: answer.token, reward: isRight ? 1 : 0 });
      } else if (options.isInjected(answer.status, answer.body)) count.injected++;
      else fail(`${answer.status} ${answer.body.slice(0, 200)}`);
    } catch (error) {
      fail(error instanceof Error ? error.message : String(error));
    }
  };
  const fail = (words: string) => {
    count.failed++;
    if (failures.length < 10) failures.push(words);
  };

  const report = async (): Promise<void> => {
    const batch = reports.splice(0, MOST_REPORTS);
    if (batch.length === 0) return;
    const answer = await post(agent, target, feedbackPath, options.key, 'reporter', JSON.stringify(batch));
    if (answer.status === 200) count.reported += batch.length;
    // the endpoint stopped asking meanwhile
    else if (answer.status === 409) reports = [];
    else fail(`feedback: ${answer.status} ${answer.body.slice(0, 200)}`);
  };
  const reporting = setInterval(() => void report().catch(() => {}), 500);

  const began = performance.now();
  let serial = 0;
  const timer = setInterval(() => {
    const due = ((performance.now() - began) / 1000) * options.perSecond;
    while (serial < due) {
      const sending = one(serial++).finally(() => inFlight.delete(sending));
      inFlight.add(sending);
    }
  }, 5);

  return {
    answered: () => count.answered,
    async stop() {
      clearInterval(timer);
      clearInterval(reporting);
      await Promise.all(inFlight);
      agent.destroy();
      latencies.sort((a, b) => a - b);
      const quantile = (q: number) =>
        Number((latencies[Math.floor(q * (latencies.length - 1))] ?? Number.NaN).toFixed(2));
      return { ...count, byRevision, failures, p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
    },
  };
}

function post(
  agent: Agent,
  url: URL,
  path: string,
  key: string,
  user: string,
  body: string,
): Promise<{ status: number; revision: string; token: string | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const sending = request(
      {
        agent,
        host: url.hostname,
        port: url.port,
        method: 'POST',
        path,
        timeout: 60_000,
        headers: {
          authorization: `Bearer ${key}`,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'x-user': user,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            revision: String(response.headers['sluice-revision'] ?? '?'),
            token: response.headers['sluice-feedback']?.toString(),
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      },
    );
    sending.on('timeout', () => sending.destroy(new Error('no answer within 60 s')));
    sending.on('error', reject);
    sending.end(body);
  });
}
