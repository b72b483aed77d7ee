/**
 * What a job's pod speaks with, as a peer on the wire: what it is to run (FOLDER/<job>.json), blobs, its checkpoint and its
 * outputs, in a blob folder. It takes any token; checkpoints are kept for each job that the token names, as the tokens of Kubernetes do.
 */

import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { readJobPod } from '../../src/core/cluster-names.js';
import { FolderBlobs } from '../../src/platform/blobs/folder.js';

export interface PodsServer {
  readonly url: string;
  readonly blobs: FolderBlobs;
  /** Digests of the checkpoints that came, in order. */
  readonly checkpoints: string[];
  /** Method and path of every call. */
  readonly calls: string[];
  /** Answers the next calls with this status instead. */
  fail(status: number, times: number): void;
  /** What the next GET checkpoint answers. */
  setCheckpoint(digest: string): void;
  close(): Promise<void>;
}

export async function startPodsServer(folder: string, port = 0, host = '127.0.0.1'): Promise<PodsServer> {
  const blobs = await FolderBlobs.open(folder);
  const latest = new Map<string, string>();
  const checkpoints: string[] = [];
  const calls: string[] = [];
  let failing = { status: 0, times: 0 };

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const what = `${request.method} ${request.url?.replace('/pods/v1/', '')}`;
    calls.push(what);
    const token = request.headers.authorization?.replace(/^Bearer /, '') ?? '';
    if (token === '') return response.writeHead(401).end();
    if (failing.times > 0) {
      failing = { ...failing, times: failing.times - 1 };
      return response.writeHead(failing.status).end('not now');
    }
    const job = jobOf(token);
    const send = async (digest: string | undefined) => {
      const facts = digest && (await blobs.stat(digest));
      if (!digest || !facts) return response.writeHead(404).end();
      response.writeHead(200, { 'content-length': facts.bytes });
      // a client that has all bytes may be gone before we are told that they went
      await pipeline(await blobs.open(digest), response).catch(() => {});
    };
    if (what.startsWith('GET blobs/')) return send(what.slice('GET blobs/'.length));
    if (what === 'GET job') {
      const told = await readFile(join(folder, `${job || 'job'}.json`)).catch(() => undefined);
      return told ? response.end(told) : response.writeHead(404).end();
    }
    if (what === 'GET checkpoint') return send(latest.get(job));
    const stored = await blobs.put(request);
    if (what === 'PUT checkpoint') {
      latest.set(job, stored.digest);
      checkpoints.push(stored.digest);
    }
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(stored));
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    blobs,
    checkpoints,
    calls,
    fail: (status, times) => {
      failing = { status, times };
    },
    setCheckpoint: (digest) => latest.set('', digest),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The job that a projected token's pod belongs to; empty for another text. */
function jobOf(token: string): string {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return readJobPod(String(claims['kubernetes.io'].pod.name))?.jobId.replaceAll('_', '-') ?? '';
  } catch {
    return '';
  }
}
