/** Models and endpoints of a real gateway. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { walkFolder } from '../../src/cli/pack/walk.js';
import type { GatewayProcess } from '../../tests/support/gateway-process.js';

/** Uploads every file of a folder and registers them as a model's version; rejects with the gateway's words. */
export async function uploadFolder(gateway: GatewayProcess, model: string, folder: string): Promise<number> {
  const files: { path: string; digest: string }[] = [];
  for (const { path, file } of await walkFolder(folder)) {
    const bytes = await readFile(file);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const stream = {
      bytes: bytes.length,
      async *open() {
        yield bytes;
      },
    };
    await gateway.client.put(`/api/v1/blobs/${digest}`, { stream });
    files.push({ path, digest });
  }
  const answer = await gateway.client.post<{ version: number }>(`/api/v1/models/${model}/versions`, {
    json: { files },
    timeoutMs: 300_000,
  });
  return answer.body.version;
}
