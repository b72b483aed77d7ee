/** node program-image.mjs OUT NAME PROGRAM PATH: an image with one static program. */

import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { packLayer, writeImage } from '../../scripts/images/oci-archive.mjs';
import { RootFolder } from '../../scripts/images/root-folder.mjs';

const [out, name, program, path] = process.argv.slice(2);
const folder = new RootFolder();
folder.file(program, path);
folder.text('/etc/passwd', 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n');
folder.folder('/tmp', 0o1777);
const layer = packLayer(folder.path, `${out}.layer`);
await writeImage({ out, name, layers: [layer], entrypoint: [path], workingDir: dirname(path) });
rmSync(layer);
rmSync(folder.path, { recursive: true });
