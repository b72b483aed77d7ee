/** A model in a bucket: one object, or every object below a prefix. */
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { CliError, EXIT } from '../exit.js';
import type { Io } from '../io.js';
import { pathBelow } from './safe-path.js';

/** The path of the object's file, or of the folder with all of the prefix. */
export async function fetchS3(io: Io, uri: string, target: string): Promise<string> {
  const [, bucket = '', given = ''] = /^s3:\/\/([^/]+)\/?(.*)$/i.exec(uri) ?? [];
  const key = given.replace(/\/+$/, '');
  const { S3Client, ListObjectsV2Command, GetObjectCommand } = await import('@aws-sdk/client-s3');
  const client = new S3Client(connection(io.env));
  const abort = { abortSignal: io.signal };
  try {
    const keys: string[] = [];
    for (let token: string | undefined, first = true; first || token !== undefined; first = false) {
      const page = await client.send(
        new ListObjectsV2Command({ Bucket: bucket, Prefix: key, ContinuationToken: token }),
        abort,
      );
      keys.push(...(page.Contents ?? []).flatMap((one) => one.Key ?? []));
      token = page.NextContinuationToken;
    }
    const below = key === '' ? '' : `${key}/`;
    const wanted = keys.includes(key) ? [key] : keys.filter((one) => one.startsWith(below) && !one.endsWith('/'));
    if (wanted.length === 0) throw new CliError(`there is nothing at ${uri}`, EXIT.notFound);
    let file = target;
    for (const one of wanted) {
      file = pathBelow(target, one === key ? basename(key) : one.slice(below.length), uri);
      await mkdir(dirname(file), { recursive: true });
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: one }), abort);
      await pipeline(Body as Readable, createWriteStream(file), { signal: io.signal });
    }
    return wanted[0] === key ? file : target;
  } catch (error) {
    io.signal.throwIfAborted();
    if (error instanceof CliError) throw error;
    throw new CliError(
      `cannot fetch ${uri}: ${error instanceof Error ? error.message || error.name : String(error)}`,
      EXIT.failed,
      'credentials are those of AWS programs: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile; ' +
        'the server is that of AWS_ENDPOINT_URL, the region AWS_REGION',
    );
  } finally {
    client.destroy();
  }
}

/** As programs of AWS are told; what is not said here, the SDK looks for where they do. */
function connection(env: NodeJS.ProcessEnv): S3ClientConfig {
  const endpoint = env.AWS_ENDPOINT_URL_S3 || env.AWS_ENDPOINT_URL;
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = env;
  return {
    region: env.AWS_REGION || env.AWS_DEFAULT_REGION || 'us-east-1',
    ...(endpoint ? { endpoint, forcePathStyle: true } : {}),
    ...(accessKeyId && secretAccessKey
      ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) } }
      : {}),
  };
}
