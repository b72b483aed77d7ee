import { describe, expect, it } from 'vitest';
import { cli } from '../../tests/support/cli.js';

describe('sluice engines', () => {
  it('lists what models run on, without any gateway', async () => {
    const { code, out } = await cli('engines list --json');
    expect(code).toBe(0);
    expect(JSON.parse(out).engines[0]).toMatchObject({ engine: 'onnx', from: 'package' });
    expect((await cli('engines list')).out).toMatch(/^onnx +\d+\.\d+\.\d+ +this package/m);
  });

  it('says what can be installed', async () => {
    const { code, err } = await cli('engines install mlflow');
    expect([code, err]).toEqual([
      1,
      'sluice: engine is "mlflow", expected tensorflow or onnx: no other has to be installed\n',
    ]);
    expect((await cli('engines install onnx')).err).toMatch(
      /^sluice: ONNX Runtime \d.* comes with this package: --cuda/,
    );
    expect((await cli('engines install tensorflow --version latest')).err).toMatch(/^sluice: version is "latest"/);
  });
});
