import { describe, expect, it } from 'vitest';
import { withSection } from './save.js';

describe('withSection', () => {
  it('replaces what stands between the markers and nothing else', () => {
    const before = 'Top\n\n<!-- peers:begin -->\nold\n<!-- peers:end -->\n\nWords after it.\n';
    expect(withSection(before, 'peers', '## peers\n')).toBe(
      'Top\n\n<!-- peers:begin -->\n\n## peers\n\n<!-- peers:end -->\n\nWords after it.\n',
    );
  });

  it('leaves the sections of others alone and adds its own at the end', () => {
    const before = '<!-- hop:begin -->\nhop\n<!-- hop:end -->\n';
    const after = withSection(before, 'peers', 'new');
    expect(after).toBe(`${before}\n<!-- peers:begin -->\n\nnew\n\n<!-- peers:end -->\n`);
    expect(withSection(after, 'peers', 'new')).toBe(after);
  });

  it('takes markers that prose speaks of for prose', () => {
    const prose = 'between `<!-- hop:begin -->`, and `<!-- hop:end -->`) and\n\n';
    expect(withSection(`${prose}<!-- hop:begin -->\n<!-- hop:end -->\n`, 'hop', 'new')).toBe(
      `${prose}<!-- hop:begin -->\n\nnew\n\n<!-- hop:end -->\n`,
    );
  });

  it('makes a document of its own', () => {
    expect(withSection('', 'hop', 'text')).toBe('<!-- hop:begin -->\n\ntext\n\n<!-- hop:end -->\n');
  });
});
