import { AppError } from '../../errors.js';

/** What a machine has, or what somebody asks of it. */
export interface Capacity {
  /** May be fractional; counted in thousandths. */
  readonly cpus: number;
  /** MiB. */
  readonly memoryMb: number;
  /** Whole GPUs. */
  readonly gpus: number;
}

/** Slots that are held until `release`, which may be called more than once. */
export interface Lease {
  /** Indices of the GPUs that are nobody else's until the release; ascending. */
  readonly gpuIndexes: readonly number[];
  release(): void;
}

export interface Slots {
  readonly total: Capacity;
  /** What is not held now. */
  free(): Capacity;
  /** Requests that wait. */
  waiting(): number;
  /** Throws `invalid` for a request that this machine can never meet. */
  check(request: Capacity): void;
  /** True when `acquire` would not wait. */
  fitsNow(request: Capacity): boolean;
  /**
   * Waits for its turn. First come, first served: nobody passes a large request that waits, so that it cannot starve.
   * A request that could never be met is refused at once (`invalid`, with request and bound); an abort rejects with
   * the code `cancelled` and gives the place in the queue up.
   */
  acquire(request: Capacity, signal?: AbortSignal): Promise<Lease>;
}

interface Waiter {
  readonly request: Capacity;
  readonly grant: (lease: Lease) => void;
}

/** Counts the slots of one machine. Only requests through this object are known to it. */
export function createSlots(total: Capacity): Slots {
  let milliCpus = toMilli(total.cpus);
  let memoryMb = total.memoryMb;
  const gpus = Array.from({ length: total.gpus }, (_, index) => index);
  let queue: Waiter[] = [];

  const fits = (request: Capacity) =>
    toMilli(request.cpus) <= milliCpus && request.memoryMb <= memoryMb && request.gpus <= gpus.length;

  const take = (request: Capacity): Lease => {
    milliCpus -= toMilli(request.cpus);
    memoryMb -= request.memoryMb;
    const gpuIndexes = gpus.splice(0, request.gpus);
    let held = true;
    return {
      gpuIndexes,
      release: () => {
        if (!held) return;
        held = false;
        milliCpus += toMilli(request.cpus);
        memoryMb += request.memoryMb;
        gpus.push(...gpuIndexes);
        gpus.sort((a, b) => a - b);
        serve();
      },
    };
  };

  const serve = () => {
    for (let first = queue[0]; first && fits(first.request); first = queue[0]) {
      queue.shift();
      first.grant(take(first.request));
    }
  };

  return {
    total,
    free: () => ({ cpus: milliCpus / 1000, memoryMb, gpus: gpus.length }),
    waiting: () => queue.length,
    check: (request) => refuseImpossible(request, total),
    fitsNow: (request) => queue.length === 0 && fits(request),
    acquire: async (request, signal) => {
      refuseImpossible(request, total);
      if (signal?.aborted) throw cancelled();
      if (queue.length === 0 && fits(request)) return take(request);
      return await new Promise<Lease>((resolve, reject) => {
        const abort = () => {
          queue = queue.filter((other) => other !== waiter);
          reject(cancelled());
          // whoever waited behind it may fit now
          serve();
        };
        const waiter: Waiter = {
          request,
          grant: (lease) => {
            signal?.removeEventListener('abort', abort);
            resolve(lease);
          },
        };
        queue.push(waiter);
        signal?.addEventListener('abort', abort, { once: true });
      });
    },
  };
}

function toMilli(cpus: number): number {
  return Math.round(cpus * 1000);
}

function cancelled(): AppError {
  return new AppError('cancelled', 'cancelled while waiting for free slots');
}

function refuseImpossible(request: Capacity, total: Capacity): void {
  const bounds = [
    ['cpus', request.cpus, total.cpus],
    ['memoryMb', request.memoryMb, total.memoryMb],
    ['gpus', request.gpus, total.gpus],
  ] as const;
  for (const [field, requested, bound] of bounds) {
    if (!(requested >= 0)) {
      throw new AppError('invalid', `resources.${field} is ${requested}, must be 0 or more`);
    }
    if (requested > bound) {
      throw new AppError('invalid', `resources.${field} asks for ${requested}, this machine has ${bound}`, {
        details: { field: `resources.${field}`, requested, bound },
      });
    }
  }
}
