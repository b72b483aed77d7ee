import { describe, expect, it } from 'vitest';
import { createSlots } from './slots.js';

const ask = (cpus: number, memoryMb = 0, gpus = 0) => ({ cpus, memoryMb, gpus });
const machine = { cpus: 4, memoryMb: 1000, gpus: 3 };

describe('slots', () => {
  it('counts fractions of a CPU without drift', async () => {
    const slots = createSlots(ask(1));
    for (let round = 0; round < 1000; round += 1) {
      const leases = await Promise.all(Array.from({ length: 10 }, () => slots.acquire(ask(0.1))));
      expect(slots.fitsNow(ask(0.001))).toBe(false);
      for (const lease of leases) lease.release();
    }
    expect(slots.free()).toEqual(ask(1));
  });

  it('gives a release back once, however often it is called', async () => {
    const slots = createSlots(machine);
    const lease = await slots.acquire(ask(2, 500, 1));
    expect(slots.free()).toEqual(ask(2, 500, 2));
    lease.release();
    lease.release();
    expect(slots.free()).toEqual(machine);
  });

  it('lets nobody pass a large request that waits', async () => {
    const slots = createSlots(machine);
    const order: string[] = [];
    const first = await slots.acquire(ask(3));
    const large = slots.acquire(ask(4)).then((lease) => {
      order.push('large');
      return lease;
    });
    const small = slots.acquire(ask(1)).then((lease) => {
      order.push('small');
      return lease;
    });
    expect(slots.waiting()).toBe(2);
    expect(slots.fitsNow(ask(1))).toBe(false);
    first.release();
    (await large).release();
    (await small).release();
    expect(order).toEqual(['large', 'small']);
    expect(slots.free()).toEqual(machine);
  });

  it('refuses at once what the machine can never give', async () => {
    const slots = createSlots(machine);
    await slots.acquire(ask(4));
    await expect(slots.acquire(ask(5))).rejects.toThrow('resources.cpus asks for 5, this machine has 4');
    await expect(slots.acquire(ask(1, 2000))).rejects.toMatchObject({
      code: 'invalid',
      details: { field: 'resources.memoryMb', requested: 2000, bound: 1000 },
    });
    await expect(slots.acquire(ask(1, 1, 4))).rejects.toThrow('resources.gpus asks for 4, this machine has 3');
    await expect(slots.acquire(ask(Number.NaN))).rejects.toThrow('resources.cpus is NaN');
  });

  it('forgets an aborted wait and serves those behind it', async () => {
    const slots = createSlots(machine);
    const first = await slots.acquire(ask(2));
    const stop = new AbortController();
    const large = slots.acquire(ask(4), stop.signal);
    const small = slots.acquire(ask(2));
    stop.abort();
    await expect(large).rejects.toMatchObject({ code: 'cancelled' });
    (await small).release();
    first.release();
    expect(slots.free()).toEqual(machine);
    await expect(slots.acquire(ask(1), AbortSignal.abort())).rejects.toMatchObject({ code: 'cancelled' });
    expect(slots.free()).toEqual(machine);
  });

  it('hands out each GPU to one holder', async () => {
    const slots = createSlots(machine);
    const one = await slots.acquire(ask(1, 0, 2));
    const two = await slots.acquire(ask(1, 0, 1));
    expect([...one.gpuIndexes, ...two.gpuIndexes].sort()).toEqual([0, 1, 2]);
    one.release();
    expect((await slots.acquire(ask(1, 0, 2))).gpuIndexes).toEqual([0, 1]);
  });
});
