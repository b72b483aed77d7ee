import { describe, expect, it } from 'vitest';
import { parseMetrics } from './metrics.js';

const metric = (name: string, value: number, step: number | null = null) => ({ name, value, step });

describe('metrics of an output line', () => {
  it.each([
    ['epoch=3 loss=0.12 accuracy=0.98', [metric('loss', 0.12, 3), metric('accuracy', 0.98, 3)]],
    ['loss=0.5', [metric('loss', 0.5)]],
    ['  loss=0.5, val/loss=.25; f1@5=1e-3', [metric('loss', 0.5), metric('val/loss', 0.25), metric('f1@5', 0.001)]],
    ['epoch=3/10 loss=2', [metric('loss', 2, 3)]],
    ['epoch=3: loss=2', [metric('loss', 2, 3)]],
    ['Epoch=1 Step=500 loss=2', [metric('loss', 2, 500)]],
    ['iteration=7 loss=2 (saved the best model)', [metric('loss', 2, 7)]],
    ['step=1 device=cpu loss=2', [metric('loss', 2, 1)]],
    ['epoch=0.5 loss=2', [metric('loss', 2)]],
    ['step=-1 loss=2', [metric('loss', 2)]],
    ['loss=nan', [metric('loss', Number.NaN)]],
    [
      'step=1 loss=NaN up=inf down=-Infinity',
      [
        metric('loss', Number.NaN, 1),
        metric('up', Number.POSITIVE_INFINITY, 1),
        metric('down', Number.NEGATIVE_INFINITY, 1),
      ],
    ],
    ['epoch=3', []],
    ['{"step":1,"loss":0.3}', [metric('loss', 0.3, 1)]],
    ['{"metric":"loss","value":0.3,"step":1}', [metric('loss', 0.3, 1)]],
    ['{"metric":"loss","value":0.3,"timestamp":"2026-01-01"}', [metric('loss', 0.3)]],
    ['{"metric":"loss","value":NaN}', [metric('loss', Number.NaN)]],
    ['{"epoch":2,"loss":-Infinity,"note":"NaN came","ok":true}', [metric('loss', Number.NEGATIVE_INFINITY, 2)]],
    ['{"loss":0.3,"accuracy":1}', [metric('loss', 0.3), metric('accuracy', 1)]],
  ])('reads %s', (line, expected) => {
    expect(parseMetrics(line)).toEqual(expected);
  });

  it.each([
    'retries=3 connection refused',
    'loading data n=3',
    'url=http://example.org/?a=1',
    'x = 3',
    'a == b',
    'loss=0.5abc',
    'loss=0x10',
    'path=/tmp/x size=3 bytes',
    '  File "train.py", line 3, in main(x=3)',
    'Epoch 3: loss=0.5',
    '{"level":"info","msg":"listening","port":8080}',
    '{"host":"a","port":8080}',
    '{"step":1,"message":"half","done":3}',
    '{"loss":0.3',
    '{"metric":"loss","value":"high"}',
    '{"metric":"","value":1}',
    '[{"loss":1}]',
    '{}',
    '',
    '=',
    '==== training ====',
    Array.from({ length: 65 }, (_, at) => `w${at}=1`).join(' '),
  ])('does not take %s for metrics', (line) => {
    expect(parseMetrics(line)).toEqual([]);
  });

  it('stays linear on hostile lines', () => {
    const began = performance.now();
    parseMetrics(`${'a'.repeat(65_000)}=`);
    parseMetrics(`{"${'\\"'.repeat(30_000)}`);
    parseMetrics(`a=1${' '.repeat(60_000)}x`);
    parseMetrics(`{${'"'.repeat(60_000)}}`);
    expect(performance.now() - began).toBeLessThan(500);
  });
});
