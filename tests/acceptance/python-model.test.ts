/** A model in Python from its files to its answers, through a real gateway. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { TEST_CACHE } from '../support/python-environment.js';
import { modelFolder, pythonModel, pythonWithNumpy, removeModels } from '../support/python-models.js';
import { uploadFolder } from '../support/upload-folder.js';

const { missing } = await pythonWithNumpy();

describe.skipIf(missing)('a Python model', () => {
  let gateway: GatewayProcess;
  beforeAll(async () => {
    gateway = await startGatewayProcess({ env: { SLUICE_CACHE_DIR: TEST_CACHE } });
  }, 120_000);
  afterAll(async () => {
    removeModels();
    await gateway?.stop();
  });

  it('is registered with the signature that it declares, and answers', async () => {
    const { client } = gateway;
    const version = await uploadFolder(client, 'add', pythonModel('add'));
    const { body } = await client.get(`/api/v1/models/add/versions/${version}`);
    expect(body).toMatchObject({
      framework: 'python',
      signature: { inputs: [{ name: 'a' }, { name: 'b' }], outputs: [{ name: 'sum', datatype: 'FP32' }] },
    });
    await gateway.serve('add', 'add', version);
    const tensor = { datatype: 'FP32', shape: [1, 2] };
    const inputs = [
      { name: 'a', ...tensor, data: [1, 2] },
      { name: 'b', ...tensor, data: [3, 4] },
    ];
    const answer = await client.post('/v2/models/add/infer', { json: { inputs } });
    expect(answer.body).toMatchObject({ outputs: [{ name: 'sum', ...tensor, data: [4, 6] }] });
    expect((await client.get('/v2/models/add')).body).toMatchObject({ platform: 'python' });
  });

  it('that does not load is refused with Python’s words', async () => {
    const folder = modelFolder({ 'model.py': 'import nowhere' });
    await expect(uploadFolder(gateway.client, 'broken', folder)).rejects.toThrow(/No module named 'nowhere'/);
  });

  it('whose requirements name files of this machine is refused', async () => {
    const folder = modelFolder({ 'model.py': '', 'requirements.txt': '/etc/passwd' });
    await expect(uploadFolder(gateway.client, 'greedy', folder)).rejects.toThrow(/names a file or a folder/);
  });
});
