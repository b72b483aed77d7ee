/** Whether what was attacked is as it was before: the same processes, no more memory than is due, nothing in flight. */
import { setTimeout as sleep } from 'node:timers/promises';
import { family, memoryOf } from '../../bench/support/proc.js';
import type { Stage } from './stage.js';

export interface Health {
  readonly pids: readonly number[];
  readonly gatewayMb: number;
  readonly runtimeMb: number;
  /** Of all model servers together. */
  readonly serversMb: number;
}

/**
 * What a process may hold more than after the warm-up, in MiB. Floods of frames widen the gateway's heap by some 200, where
 * it stays: 330,000 conversations leave it no larger than 120,000 do.
 */
const GROWTH_MB = 300;
/** How long what is in flight may take to end. */
const SETTLE_MS = 10_000;

export function examine({ gateway, runtime }: Stage): Health {
  const runtimePid = runtime.child.pid ?? 0;
  const pids = [...family(gateway.pid), runtimePid];
  return {
    pids,
    gatewayMb: memoryOf([gateway.pid]).rssMb,
    runtimeMb: memoryOf([runtimePid]).rssMb,
    serversMb: memoryOf(pids.filter((pid) => pid !== gateway.pid && pid !== runtimePid)).rssMb,
  };
}

/** What is worse than it was. */
export function worsened(before: Health, after: Health): string[] {
  const gone = before.pids.filter((pid) => !after.pids.includes(pid));
  const grown = (['gatewayMb', 'runtimeMb'] as const).filter((name) => after[name] > before[name] + GROWTH_MB);
  return [
    ...gone.map((pid) => `process ${pid} has ended`),
    ...grown.map((name) => `${name} grew from ${before[name].toFixed(0)} to ${after[name].toFixed(0)}`),
  ];
}

/** What is still counted as in flight when all inputs have been answered or given up; empty: nothing. */
export async function leftovers({ gateway, runtime }: Stage): Promise<string[]> {
  let busy: string[] = [];
  for (const until = Date.now() + SETTLE_MS; Date.now() < until; await sleep(50)) {
    const pages = await Promise.all([
      gateway.client.get('/metrics').then(({ body }) => String(body)),
      fetch(`${runtime.url}/metrics`).then((answer) => answer.text()),
    ]);
    busy = pages
      .join('\n')
      .split('\n')
      .filter((line) => COUNTED.test(line) && !line.endsWith(' 0'));
    if (busy.length === 0) return [];
  }
  return busy;
}

const COUNTED = /^sluice_(predictions_in_flight|predictions_waiting|runtime_in_flight)\b/;
