import { readdirSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import type { Capacity } from './slots.js';

/** What this machine, or the container that we run in, has: CPUs, memory in MiB, and NVIDIA GPUs by their device files. */
export function machineCapacity(): Capacity {
  const constrained = process.constrainedMemory();
  const bytes = constrained > 0 && constrained < totalmem() ? constrained : totalmem();
  return { cpus: availableParallelism(), memoryMb: Math.floor(bytes / 1024 / 1024), gpus: countGpus() };
}

function countGpus(): number {
  try {
    return readdirSync('/dev').filter((name) => /^nvidia\d+$/.test(name)).length;
  } catch {
    return 0;
  }
}
