import { checkVersion, type Recipe } from './install.js';

/** The version that is installed unless another one is asked for: the one that this program is verified with. */
export const TENSORFLOW_VERSION = '2.21.0';

/** The libraries, and what their licence asks to be kept with them. */
const WANTED =
  /tensorflow\/(libtensorflow_(cc|framework)\.[\w.]+|THIRD_PARTY[\w.]*)|[^/]+\.dist-info\/(METADATA|LICEN[CS]E[\w.-]*)/;

/** TensorFlow's C library: two files of its Python package, 0.9 GB. */
export function tensorflowRecipe(version: string, cuda: boolean): Recipe {
  checkVersion(version, TENSORFLOW_VERSION);
  // on macOS there is one package for all
  const packageName = cuda || process.platform === 'darwin' ? 'tensorflow' : 'tensorflow-cpu';
  return {
    engine: 'tensorflow',
    version,
    cuda,
    packageName,
    download: { requirement: `${packageName}==${version}`, dependencies: false },
    wanted: () => WANTED,
    library: { path: /^tensorflow\/libtensorflow_cc\./, name: 'libtensorflow_cc' },
    needed: (cuda ? 4 : 1.5) * 2 ** 30,
  };
}
