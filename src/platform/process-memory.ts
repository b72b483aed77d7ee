/** What processes hold in memory, as Linux tells it. */
import { readdir, readFile } from 'node:fs/promises';

/**
 * Resident bytes of a process and everything that it started: a model server may compute in processes of its own. Pages
 * that they share count for each of them. Undefined where the process is gone or the system does not tell.
 */
export async function residentBytes(root: number): Promise<number | undefined> {
  const status = await readStatus(root);
  if (!status) return undefined;
  const pids = await readdir('/proc').catch(() => []);
  const all = await Promise.all(pids.filter((name) => /^\d+$/.test(name)).map((name) => readStatus(Number(name))));
  const children = new Map<number, Status[]>();
  for (const one of all) if (one) children.set(one.parent, [...(children.get(one.parent) ?? []), one]);
  let kilobytes = 0;
  const open = [status];
  for (let one = open.pop(); one; one = open.pop()) {
    kilobytes += one.residentKb;
    open.push(...(children.get(one.pid) ?? []));
  }
  return kilobytes * 1024;
}

interface Status {
  readonly pid: number;
  readonly parent: number;
  readonly residentKb: number;
}

async function readStatus(pid: number): Promise<Status | undefined> {
  const text = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => undefined);
  const resident = /^VmRSS:\s+(\d+)/m.exec(text ?? '')?.[1];
  const parent = /^PPid:\s+(\d+)/m.exec(text ?? '')?.[1];
  return resident === undefined ? undefined : { pid, parent: Number(parent), residentKb: Number(resident) };
}
