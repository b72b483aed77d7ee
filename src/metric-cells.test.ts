import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { CellCounter, CellHistogram } from './metric-cells.js';

it('is printed as Prometheus reads it', async () => {
  const registry = new Registry();
  const counter = new CellCounter({ name: 'a_total', help: 'As.', labelNames: ['of', 'how'] });
  counter.registerIn(registry);
  const one = counter.cell({ of: 'x', how: '2xx' });
  for (let i = 0; i < 3; i++) one.inc();
  counter.cell({ of: 'x', how: '5xx' }).inc();
  expect(counter.cell({ how: '2xx', of: 'x' })).toBe(one);
  const histogram = new CellHistogram({
    name: 'b_seconds',
    help: 'Bs.',
    labelNames: ['of'],
    bounds: [0.1, 1],
  }).registerIn(registry);
  for (const value of [0.05, 0.1, 0.5, 7]) histogram.cell({ of: 'y "q"' }).observe(value);
  expect(await registry.metrics()).toBe(
    [
      '# HELP a_total As.\n# TYPE a_total counter\na_total{of="x",how="2xx"} 3\na_total{of="x",how="5xx"} 1\n',
      '# HELP b_seconds Bs.\n# TYPE b_seconds histogram',
      'b_seconds_bucket{le="0.1",of="y \\"q\\""} 2',
      'b_seconds_bucket{le="1",of="y \\"q\\""} 3',
      'b_seconds_bucket{le="+Inf",of="y \\"q\\""} 4',
      'b_seconds_sum{of="y \\"q\\""} 7.65',
      'b_seconds_count{of="y \\"q\\""} 4\n',
    ].join('\n'),
  );
});
