import { describe, expect, it } from 'vitest';
import { isPrinted, LogCursor, readPodLine } from './log-lines.js';

describe('readPodLine', () => {
  it.each([
    ['plain', { kind: 'stdout', text: 'plain' }],
    ['', { kind: 'stdout', text: '' }],
    ['\x01ewarning', { kind: 'stderr', text: 'warning' }],
    ['\x01sinstalling', { kind: 'system', text: 'installing' }],
    ['\x01o\x01sno', { kind: 'stdout', text: '\x01sno' }],
    ['\x01rtrain.py', { kind: 'running', text: 'train.py' }],
    ['\x01?', { kind: 'stdout', text: '\x01?' }],
  ])('reads %j', (line, expected) => {
    expect(readPodLine(line)).toEqual(expected);
  });
});

describe('LogCursor', () => {
  const at = (fraction: string, text: string) => `2026-11-24T20:00:01${fraction}Z ${text}`;

  it('takes timestamps off and leaves the kubelet’s own words', () => {
    const cursor = new LogCursor();
    expect(cursor.since).toBeUndefined();
    cursor.open();
    expect(cursor.take(at('.5', 'one'))).toBe('one');
    expect(cursor.take(at('.5000001', ' two  '))).toBe(' two  ');
    expect(cursor.take(at('.6', ''))).toBe('');
    expect(cursor.take('unable to retrieve container logs')).toBe('unable to retrieve container logs');
    expect(cursor.since).toBe('2026-11-24T20:00:01.6Z');
  });

  it('goes on after what was read, also within one moment, wherever the stream begins again', () => {
    const lines = [at('', 'a'), at('.1', 'b'), at('.1', 'c'), at('.1', 'c'), at('.12', 'd'), at('.2', 'e')];
    for (let broken = 0; broken <= lines.length; broken++) {
      const cursor = new LogCursor();
      const taken: string[] = [];
      const read = (some: readonly string[]) => {
        cursor.open();
        for (const line of some) taken.push(...[cursor.take(line) ?? []].flat());
      };
      read(lines.slice(0, broken));
      read(lines.slice(0, broken));
      read(lines);
      expect(taken).toEqual(['a', 'b', 'c', 'c', 'd', 'e']);
    }
  });
});

it('the kubelet’s own words are no output of the container', () => {
  expect(isPrinted('2026-11-24T20:00:01.5Z unable')).toBe(true);
  expect(isPrinted('unable to retrieve container logs')).toBe(false);
});
