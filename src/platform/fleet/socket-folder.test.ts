import { spawnSync } from 'node:child_process';
import { mkdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { socketFolder } from './socket-folder.js';

it('removes what killed processes left, and nothing of the living', async () => {
  const { pid: dead } = spawnSync(process.execPath, ['-e', '0']);
  const left = join(tmpdir(), `sluice-sockets-${dead}-abc`);
  await mkdir(join(left, 'inside'), { recursive: true });
  const mine = await socketFolder();
  const next = await socketFolder();
  await expect(stat(left)).rejects.toThrow('ENOENT');
  expect((await stat(mine)).mode & 0o777).toBe(0o700);
  await rm(mine, { recursive: true });
  await rm(next, { recursive: true });
});
