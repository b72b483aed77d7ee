/**
 * Triton without a container: the tritonserver binary inside the nvidia-pytriton wheel. That wheel brings one backend, for
 * Python, so that the model is onnxruntime inside model.py. It is linked with a libpython 3.11 of its own, whose standard
 * library must be that of Debian's python3.11; with others its Python part fails.
 */
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { AppError } from '../../../src/errors.js';
import { exists } from '../../../src/platform/exists.js';
import { freePort } from '../../../src/platform/free-port.js';
import type { Peer } from '../peer.js';
import { pythonEnvironment, startHttpPeer } from '../python.js';

const PYTHON = '/usr/bin/python3.11';
const REQUIREMENTS = ['nvidia-pytriton==0.7.0', 'numpy==1.26.4', 'onnxruntime==1.32.0'];

const MODEL_CONFIG = `name: "digits"
backend: "python"
max_batch_size: 256
input [{ name: "X" data_type: TYPE_FP32 dims: [64] }]
output [
  { name: "label" data_type: TYPE_INT64 dims: [1] },
  { name: "probabilities" data_type: TYPE_FP32 dims: [10] }
]
instance_group [{ kind: KIND_CPU count: 1 }]
dynamic_batching {}
`;

export const triton: Peer = {
  name: 'triton',
  kind: 'server',
  about:
    "NVIDIA's tritonserver out of the nvidia-pytriton wheel, onnxruntime in its Python backend (the wheel has no other), dynamic_batching on, max_batch_size 256",
  cases: ['json1', 'json64', 'bin1', 'bin64', 'grpc1'],
  async install() {
    if (!(await exists(PYTHON))) throw new AppError('unsupported', `it needs Debian's Python 3.11 as ${PYTHON}`);
    const { folder } = await pythonEnvironment(REQUIREMENTS, PYTHON);
    const site = join(folder, 'lib', 'python3.11', 'site-packages');
    const wheel = join(site, 'pytriton', 'tritonserver');
    return {
      versions: REQUIREMENTS.join(', '),
      async start(options) {
        const [port, grpcPort] = [await freePort(), await freePort()];
        const [models, backends] = [join(options.folder, 'models'), join(options.folder, 'backends')];
        await layOut(wheel, models, backends);
        return startHttpPeer(options, {
          name: 'triton',
          command: [
            ...[join(wheel, 'bin', 'tritonserver'), `--model-repository=${models}`, `--backend-directory=${backends}`],
            ...[
              '--http-address=127.0.0.1',
              `--http-port=${port}`,
              '--grpc-address=127.0.0.1',
              `--grpc-port=${grpcPort}`,
            ],
            ...['--allow-metrics=false', '--log-info=false'],
          ],
          // the embedded Python finds its standard library by the first python3 on the PATH
          env: {
            PATH: `${join(folder, 'bin')}:/usr/bin:/bin`,
            PYTHONPATH: site,
            LD_LIBRARY_PATH: join(site, 'nvidia_pytriton.libs'),
          },
          port,
          grpcPort,
        });
      },
    };
  },
};

/** The model, and the backend with the stub of the Python version that is used. */
async function layOut(wheel: string, models: string, backends: string): Promise<void> {
  const version = join(models, 'digits', '1');
  await mkdir(version, { recursive: true });
  await writeFile(join(models, 'digits', 'config.pbtxt'), MODEL_CONFIG);
  await cp(resolve('bench', 'peers', 'triton', 'model.py'), join(version, 'model.py'));
  const backend = join(backends, 'python');
  await mkdir(backend, { recursive: true });
  await cp(
    join(wheel, 'backends', 'python', 'triton_python_backend_utils.py'),
    join(backend, 'triton_python_backend_utils.py'),
  );
  await symlink(join(wheel, 'backends', 'python', 'libtriton_python.so'), join(backend, 'libtriton_python.so'));
  const stub = 'triton_python_backend_stub';
  await cp(join(wheel, 'python_backend_stubs', '3.11', stub), join(backend, stub));
}
