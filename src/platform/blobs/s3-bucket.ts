import { createReadStream } from 'node:fs';
import type { S3Client } from '@aws-sdk/client-s3';
import { AppError, messageOf } from '../../errors.js';
import { presignGet } from './presign.js';

/** A request of the SDK, as far as it is read here. */
interface HttpRequest {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
}

const PART_BYTES = 8 * 1024 * 1024;
/** S3 takes at most 10 000 parts. */
const MAX_PARTS = 9_000;

/** Which bucket, and how to get in. */
export interface S3Location {
  readonly bucket: string;
  /** Put before every key; empty or ending in a slash. */
  readonly prefix: string;
  readonly region: string;
  /** Where the server is, for anything but AWS. */
  readonly endpoint?: string;
  /** Without them the SDK looks where AWS programs look: profile files, the pod's or the machine's role. */
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
}

/** The connection to one bucket. The SDK is loaded at the first use. */
export class S3Bucket {
  private connecting: Promise<{ sdk: typeof import('@aws-sdk/client-s3'); client: S3Client }> | undefined;

  constructor(private readonly location: S3Location) {}

  connected() {
    this.connecting ??= this.connect();
    return this.connecting;
  }

  /** Sends a file of this machine, in parts where it is large. The object appears whole or not at all. */
  async upload(
    key: string,
    file: { readonly path: string; readonly bytes: number },
    signal?: AbortSignal,
  ): Promise<void> {
    signal?.throwIfAborted();
    const { Upload } = await import('@aws-sdk/lib-storage');
    const { client } = await this.connected();
    const body = createReadStream(file.path, { highWaterMark: 1024 * 1024 });
    const upload = new Upload({
      client,
      params: { Bucket: this.location.bucket, Key: key, Body: body, ContentType: 'application/octet-stream' },
      partSize: Math.max(PART_BYTES, Math.ceil(file.bytes / MAX_PARTS)),
      queueSize: 4,
      leavePartsOnError: false,
    });
    const abort = () => void upload.abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await upload.done();
    } finally {
      signal?.removeEventListener('abort', abort);
      body.destroy();
    }
  }

  /** A URL that answers GET with an object for so long. */
  async presign(key: string, seconds: number): Promise<string> {
    const { client } = await this.connected();
    const [url, credentials] = await Promise.all([this.urlOf(key), client.config.credentials()]);
    return presignGet({ url, region: this.location.region, credentials, seconds, now: new Date() });
  }

  /** Where the SDK would ask for an object: it knows the servers of each region. */
  private async urlOf(key: string): Promise<URL> {
    const { sdk, client } = await this.connected();
    const command = new sdk.GetObjectCommand({ Bucket: this.location.bucket, Key: key });
    let url: URL | undefined;
    command.middlewareStack.add(
      () => async (args) => {
        const { protocol, hostname, port, path } = args.request as HttpRequest;
        url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`);
        // it is not sent
        return { output: { $metadata: {} }, response: {} };
      },
      { name: 'urlOfObject', step: 'build', priority: 'low' },
    );
    await client.send(command);
    if (!url) throw new AppError('internal', `the SDK made no request for ${key}`);
    return url;
  }

  /** What went wrong, in our terms; `missing` makes the error for an object that is not there. */
  explained(error: unknown, missing: () => AppError): AppError {
    if (error instanceof AppError) return error;
    const { bucket, endpoint } = this.location;
    const name = error instanceof Error ? error.name : '';
    const status = statusOf(error);
    if (name === 'NoSuchKey' || name === 'NotFound') return missing();
    const where = `bucket ${bucket}${endpoint === undefined ? '' : ` at ${endpoint}`}`;
    const why = messageOf(error) || name;
    if (status === 401 || status === 403) {
      return new AppError('internal', `S3 refuses access to ${where}: ${why}`, { cause: error });
    }
    return new AppError('upstream_failed', `S3 failed on ${where}: ${why}`, { cause: error });
  }

  private async connect() {
    const { region, endpoint, credentials } = this.location;
    const sdk = await import('@aws-sdk/client-s3');
    const client = new sdk.S3Client({
      region,
      // bucket names as host names need a DNS that plays along; every server understands paths
      forcePathStyle: true,
      maxAttempts: 4,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
    });
    return { sdk, client };
  }
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error && '$metadata' in error)) return undefined;
  const metadata = error.$metadata as { httpStatusCode?: number };
  return metadata.httpStatusCode;
}
