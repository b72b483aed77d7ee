import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chown, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../errors.js';

/** The user that the server runs as. Undefined ids mean our own. */
export interface PostgresUser {
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Postgres refuses to run as root. For root this is the user `postgres` where it exists, else `nobody`; for anybody else
 * it is that user.
 */
export function postgresUser(): PostgresUser {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const user = users.find((fields) => fields[0] === name);
    const uid = Number(user?.[2]);
    if (user && uid > 0) return { uid, gid: Number(user[3]) };
  }
  return { uid: 65534, gid: 65534 };
}

/** Gives the folder and what is in it to the user; the files inside only when their owner is another. */
export async function giveTo(user: PostgresUser, folder: string): Promise<void> {
  if (user.uid === undefined || user.gid === undefined) return;
  if ((await lstat(folder)).uid === user.uid) return;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    await chown(path, user.uid, user.gid);
  }
  // last, so that a change of owner that was cut short is made again
  await chown(folder, user.uid, user.gid);
}

/** Throws when the server's user cannot get to the programs or the folder: some folder above them is closed to it. */
export function checkReach(user: PostgresUser, folder: string, program: string): void {
  if (user.uid === undefined || user.gid === undefined) return;
  const probe = spawnSync(
    '/bin/sh',
    ['-c', 'if [ ! -x "$1" ]; then exit 2; fi; cd "$2" && [ -w . ] || exit 3', 'probe', program, folder],
    { uid: user.uid, gid: user.gid, cwd: '/', stdio: 'ignore' },
  );
  if (probe.status === 0) return;
  const closed = probe.status === 2 ? program : folder;
  throw new AppError(
    'internal',
    `the embedded Postgres cannot run as root, and the user it runs as instead (uid ${user.uid}) cannot reach ${closed}: ` +
      'open the folders above it to other users (chmod o+x), choose another folder, start the program as an ordinary ' +
      'user, or set DATABASE_URL',
    { details: { folder: closed, uid: user.uid } },
  );
}
