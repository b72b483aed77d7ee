import { request } from 'node:http';
import type { HttpPrediction } from './predictions.js';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const TIMEOUT_MS = 10_000;

/** Posts one prediction on a connection of its own and reads the whole answer. */
export function post(
  url: string,
  prediction: HttpPrediction,
  headers: Readonly<Record<string, string>> = {},
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const options = {
      method: 'POST',
      agent: false as const,
      timeout: TIMEOUT_MS,
      headers: { ...prediction.headers, ...headers, 'content-length': prediction.body.length },
    };
    const sending = request(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    sending.on('timeout', () => sending.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    sending.on('error', reject);
    sending.end(prediction.body);
  });
}
