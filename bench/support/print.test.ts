import { describe, expect, it } from 'vitest';
import { renderResult, renderTable } from './print.js';

describe('print', () => {
  it('renders a table as Markdown with the names to the left and the figures to the right', () => {
    const table = {
      title: 'T',
      columns: ['what', 'req/s'],
      rows: [
        ['floor-node, 32', '17653'],
        ['a', '9'],
      ],
    };
    expect(renderTable(table)).toBe(
      [
        '### T',
        '',
        '| what           | req/s |',
        '|----------------|------:|',
        '| floor-node, 32 | 17653 |',
        '| a              |     9 |',
      ].join('\n'),
    );
  });

  it('lists what did not run after the notes', () => {
    const text = renderResult('x', { tables: [], notes: ['a note'], notRun: ['part: why'] });
    expect(text).toMatch(/^## x\n\n\d+ cores, .*Node v.*\n\n- a note\n- not run: part: why\n$/);
  });
});
