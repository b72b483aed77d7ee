import { describe, expect, it } from 'vitest';
import { normaliseRequirements } from './requirements.js';

describe('requirement lines', () => {
  it('have one form', () => {
    expect(normaliseRequirements(['Six==1.16.0', ' numpy  >=2 # fast', '# nothing', '', 'six==1.16.0'])).toEqual([
      'numpy >=2',
      'six==1.16.0',
    ]);
    expect(normaliseRequirements(['Foo_Bar.baz[Extra]>1; python_version < "4"'])).toEqual([
      'foo-bar-baz[Extra]>1; python_version < "4"',
    ]);
    expect(normaliseRequirements(['b', '--pre', 'a', '--index-url https://example.org/Simple'])).toEqual([
      '--pre',
      '--index-url https://example.org/Simple',
      'a',
      'b',
    ]);
    expect(normaliseRequirements(['Pkg @ https://example.org/Pkg.whl#sha256=AB'])).toEqual([
      'pkg @ https://example.org/Pkg.whl#sha256=AB',
    ]);
  });

  it.each([
    '-r other.txt',
    '-e .',
    './folder',
    '/etc',
    '~/x',
    'file:///x',
    'x @ file:///x',
    '--trusted-host x',
    'a\nb',
    'a \\',
  ])('refuse %j', (line) => {
    expect(() => normaliseRequirements([line])).toThrow(/^requirement /);
  });
});
