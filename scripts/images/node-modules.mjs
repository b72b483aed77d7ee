/** The part of dist/ and node_modules/ that given programs of ours load when they run. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What built programs load: files of dist/, and the packages that these do not contain. Programs not yet made are left out. */
export function importsOf(dist, entries) {
  const loads = JSON.parse(readFileSync(join(dist, '.imports.json'), 'utf8'));
  const files = new Set();
  const names = new Set();
  const queue = entries.map((entry) => `${entry}.js`).filter((file) => file in loads);
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (files.has(file)) continue;
    files.add(file);
    queue.push(...loads[file].files.filter((each) => each in loads));
    for (const specifier of loads[file].packages) names.add(packageOf(specifier));
  }
  // an optional part of pg, which is not installed
  names.delete('pg-native');
  return { files: [...files].sort(), packages: [...names].sort() };
}

function packageOf(specifier) {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Folders of these packages and of all that they depend on, below `root`; optional ones where they are installed. */
export function packageFolders(root, names) {
  const folders = new Set();
  const visit = (name, from) => {
    const folder = resolve(root, name, from);
    if (folder === undefined || folders.has(folder)) return folder;
    folders.add(folder);
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
      readFileSync(join(root, folder, 'package.json'), 'utf8'),
    );
    for (const each of Object.keys({ ...dependencies, ...optionalDependencies })) {
      if (visit(each, folder) === undefined && !(each in optionalDependencies)) {
        throw new Error(`${folder} needs the package ${each}, which is not installed: npm ci`);
      }
    }
    return folder;
  };
  for (const name of names) {
    if (visit(name, '') === undefined) throw new Error(`the package ${name} is not installed: npm ci`);
  }
  return [...folders].sort();
}

/** As Node looks: beside the package that asks, then further up. */
function resolve(root, name, from) {
  for (let at = from; ; at = at.includes('/node_modules/') ? at.slice(0, at.lastIndexOf('/node_modules/')) : '') {
    const folder = join(at, 'node_modules', name);
    if (existsSync(join(root, folder, 'package.json'))) return folder;
    if (at === '') return undefined;
  }
}

/** Files of packages that nothing reads at run time. */
const IDLE =
  /\.(map|d\.ts|d\.mts|d\.cts|ts|md|markdown|flow|tsbuildinfo)$|(^|\/)(dist-types|doc|docs|example|examples|test|tests|vendor|\.github)\//i;
/** Programs for other machines. */
const ELSEWHERE = /(^|\/)(musl_x64|darwin|win32)\/|\.musl\.node$/;

/** Whether a file of a package goes into an image, by its path within the package. */
export function isUsed(folder, path) {
  if (path.includes('node_modules/')) return false;
  // of this package one library is opened, and its version is read
  if (folder.endsWith('/onnxruntime-node')) {
    const machine = `/linux/${process.arch}/libonnxruntime.so`;
    return path === 'package.json' || /^LICEN[CS]E/i.test(path) || path.includes(machine);
  }
  return /(^|\/)(package\.json|LICEN[CS]E[^/]*)$/i.test(path) || !(IDLE.test(path) || ELSEWHERE.test(path));
}
