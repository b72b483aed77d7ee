import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileDraft, FileEntry, Files } from '../../core/files.js';
import { AppError } from '../../errors.js';
import { LocalDraft, segmentsOf } from './folder-files.js';
import { S3Bucket, type S3Location } from './s3-bucket.js';

export interface S3FilesOptions extends S3Location {
  /** Holds what is not whole yet. */
  readonly cacheFolder: string;
}

/** Files as objects of an S3 bucket. Written on this machine first and sent when whole. */
export class S3Files implements Files {
  private readonly bucket: S3Bucket;

  constructor(private readonly options: S3FilesOptions) {
    this.bucket = new S3Bucket(options);
  }

  async create(): Promise<FileDraft> {
    const draft = await LocalDraft.create(join(this.options.cacheFolder, 'tmp'), async (path, name) => {
      const { size } = await stat(path);
      try {
        await this.bucket.upload(this.keyOf(name), { path, bytes: size });
      } catch (error) {
        throw this.explained(error, name);
      }
      await draft.discard();
    });
    return draft;
  }

  async list(folder: string): Promise<FileEntry[]> {
    const { prefix, bucket } = this.options;
    const { sdk, client } = await this.bucket.connected();
    const found: FileEntry[] = [];
    try {
      const pages = sdk.paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: `${this.keyOf(folder)}/` });
      for await (const { Contents } of pages) {
        for (const { Key = '', Size = 0 } of Contents ?? [])
          found.push({ name: Key.slice(prefix.length), bytes: Size });
      }
    } catch (error) {
      throw this.explained(error, folder);
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async read(name: string): Promise<Buffer> {
    const { sdk, client } = await this.bucket.connected();
    const command = new sdk.GetObjectCommand({ Bucket: this.options.bucket, Key: this.keyOf(name) });
    try {
      const { Body } = await client.send(command);
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    } catch (error) {
      throw this.explained(error, name);
    }
  }

  private keyOf(name: string): string {
    return `${this.options.prefix}${segmentsOf(name).join('/')}`;
  }

  private explained(error: unknown, name: string): AppError {
    return this.bucket.explained(
      error,
      () => new AppError('not_found', `there is no file ${name}`, { details: { file: name } }),
    );
  }
}
