import { createRequire } from 'node:module';
import { AppError } from '../../errors.js';
import { checkVersion, type Recipe } from './install.js';
import { type InstalledEngine, listInstalled } from './installed.js';

/** The version of ONNX Runtime that comes with this package. */
export function onnxVersion(): string {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { readonly version: string };
  return version;
}

/** ONNX Runtime's libraries, and NVIDIA's, with what their licences ask to be kept with them. */
const OWN = /onnxruntime\/(capi\/libonnxruntime[\w.]*|LICENSE|ThirdPartyNotices\.txt)|[^/]+\.dist-info\/METADATA/;
const NVIDIA =
  /nvidia\/[\w.-]+\/lib\/lib[\w.-]+\.so[\w.]*|[^/]+\.dist-info\/(licenses\/)?(METADATA|LICEN[CS]E[\w.-]*|License[\w.-]*)/;

/**
 * ONNX Runtime's build for NVIDIA's GPUs, and the libraries of CUDA and cuDNN that it declares. The build for processors
 * comes with this package.
 */
export function onnxRecipe(version: string, cuda: boolean): Recipe {
  checkVersion(version, onnxVersion());
  if (!cuda) {
    const message = `ONNX Runtime ${onnxVersion()} comes with this package: --cuda installs the build for NVIDIA's GPUs`;
    throw new AppError('invalid', message);
  }
  const packageName = 'onnxruntime-gpu';
  return {
    engine: 'onnx',
    version,
    cuda,
    packageName,
    download: { requirement: `${packageName}[cuda,cudnn]==${version}`, dependencies: true },
    wanted: (wheel) => (wheel.startsWith('onnxruntime_gpu-') ? OWN : wheel.startsWith('nvidia_') ? NVIDIA : undefined),
    library: { path: /^onnxruntime\/capi\/libonnxruntime\.so/, name: 'libonnxruntime' },
    needed: 4.5 * 2 ** 30,
  };
}

/** The newest installed build; undefined: what comes with this package is used. */
export async function findOnnx(enginesFolder: string): Promise<InstalledEngine | undefined> {
  return (await listInstalled(enginesFolder, 'onnx')).find((engine) => engine.whole);
}
