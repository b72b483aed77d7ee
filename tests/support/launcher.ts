import type { Artifacts } from '../../src/platform/fleet/artifacts.js';
import { createLauncher, type Launcher } from '../../src/platform/fleet/launcher.js';
import type { Spares } from '../../src/platform/fleet/spares.js';
import { quietLog } from './quiet-log.js';

/** A launcher of real model servers; ONNX models need nothing prepared. */
export function launcherOf(spares: Spares, artifacts: Artifacts): Launcher {
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin' };
  return createLauncher({ spares, artifacts, prepare: async () => ({}), env, drainMs: 1000, log: quietLog });
}

/** Artifacts that are one ONNX file each, which lies on this machine. */
export function artifactsAt(path: (firstFile: string) => string): Artifacts {
  return {
    locate: async (artifact) => ({ path: path(artifact.files[0]?.path ?? ''), framework: 'onnx' }),
    layOut: async () => '/',
  };
}
