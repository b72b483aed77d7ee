/** Requests to the control API as rows, each answer held against the OpenAPI document. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { conforms } from './conforms.js';
import type { As, TestGateway } from './test-services.js';

export interface Row {
  readonly name: string;
  readonly method: string;
  /** Below /api/v1. */
  readonly url: string;
  /** The administrator when absent. */
  readonly as?: As;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly status: number;
  /** Part of the answer, or text in it. */
  readonly has?: unknown;
}

/** Sends a row's request and checks what comes back. */
export async function check(gateway: TestGateway, row: Omit<Row, 'name'>): Promise<unknown> {
  const { method, as = 'admin', body, headers, status, has } = row;
  const url = `/api/v1${row.url}`;
  const response = await gateway.call(as, method, url, body, headers);
  const answer = await conforms(gateway.app, method, url, response);
  expect({ status: response.status, ...(response.status === status ? {} : { answer }) }).toEqual({ status });
  if (typeof has === 'string') expect(JSON.stringify(answer)).toContain(has);
  else if (has !== undefined) expect(answer).toMatchObject(has as object);
  return answer;
}

/** A test of rows in order: later ones build on earlier ones. */
export function scenario(name: string, gateway: () => TestGateway, rows: () => Row[]): void {
  test(name, async () => {
    for (const row of rows()) {
      await check(gateway(), row).catch((error: unknown) => {
        throw new Error(`${row.name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      });
    }
  });
}

/** The digest under which bytes are stored. */
export const digestOf = (bytes: Uint8Array | string) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** The bytes of a fixture model. */
export const modelBytes = (name: string): Promise<Buffer> =>
  readFile(new URL(`../fixtures/models/${name}`, import.meta.url));
