import { expect, it } from 'vitest';
import { BatchGain } from './gain.js';

it('gives batches up where a row costs as much in them as alone, and tries them again later', () => {
  const gain = new BatchGain();
  expect(gain.pays).toBe(true);
  for (let run = 0; run < 20; run++) {
    gain.record(1, 1, 10);
    gain.record(8, 8, 79);
  }
  const answers = Array.from({ length: 1000 }, () => gain.pays);
  expect(answers.indexOf(true)).toBe(999);
  gain.record(8, 8, 20);
  expect(gain.pays).toBe(true);
});

it('keeps them where they save something', () => {
  const gain = new BatchGain();
  for (let run = 0; run < 20; run++) {
    gain.record(1, 1, 10);
    gain.record(8, 8, 40);
  }
  expect(gain.pays).toBe(true);
});

it('asks nothing of runs that are short anyway', () => {
  const gain = new BatchGain();
  for (let run = 0; run < 20; run++) {
    gain.record(1, 1, 0.1);
    gain.record(8, 8, 8);
  }
  expect(gain.pays).toBe(true);
});
