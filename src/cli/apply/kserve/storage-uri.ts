/** Where a model may come from, and what to do instead where it may not. */

const INSTEAD: Readonly<Record<string, string>> = {
  pvc: 'the volumes of a cluster cannot be read from here; copy the model (kubectl cp) and name the local path',
  hf: 'fetch it first (hf download ORG/NAME --local-dir DIR) and name the local path',
  gs: 'fetch it first (gcloud storage cp -r), or name a file of a public bucket by its https:// address',
  hdfs: 'fetch it first (hdfs dfs -get) and name the local path',
  webhdfs: 'fetch it first (hdfs dfs -get) and name the local path',
  git: 'clone it first and name the local path',
  oci: 'copy the model out of the image and name the local path',
  abfs: 'fetch it first (az storage blob download-batch) and name the local path',
};

/** Why a storageUri is refused; undefined where it is not. */
export function storageRefusal(uri: string): string | undefined {
  if (uri.trim() === '') return 'is empty';
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(uri)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === 'file') return undefined;
  if (scheme === 's3') return /^s3:\/\/[^/]+/.test(uri) ? undefined : 'names no bucket, as s3://bucket/prefix does';
  if (scheme === 'http' || scheme === 'https') {
    if (!URL.canParse(uri)) return 'is no URL';
    const { username, password } = new URL(uri);
    return username === '' && password === '' ? undefined : 'holds a user or password, which would be kept and shown';
  }
  const what = INSTEAD[scheme] ?? 'fetch it first and name the local path';
  return `cannot be fetched (local paths, file://, http://, https:// and s3:// can): ${what}`;
}
