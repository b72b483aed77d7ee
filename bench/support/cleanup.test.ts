import { describe, expect, it } from 'vitest';
import { Cleanup } from './cleanup.js';

describe('Cleanup', () => {
  it('undoes the last first, each once, and goes on when one fails', async () => {
    const cleanup = new Cleanup();
    const undone: string[] = [];
    const undo = (name: string) => async () => {
      undone.push(name);
    };
    cleanup.add(undo('folder'));
    cleanup.add(async () => {
      throw new Error('already gone');
    });
    const early = cleanup.add(undo('early'));
    cleanup.add(undo('server'));
    await early();
    await early();
    await cleanup.run();
    await cleanup.run();
    expect(undone).toEqual(['early', 'server', 'folder']);
  });

  it('takes nothing new once it is over', async () => {
    const cleanup = new Cleanup();
    cleanup.throwIfOver();
    await cleanup.run();
    expect(() => cleanup.add(async () => {})).toThrow(/was ended/);
  });
});
