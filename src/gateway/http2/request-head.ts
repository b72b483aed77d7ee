/** The head of a request: its pseudo-fields taken out and checked (RFC 9113, section 8.3.1), the others to be looked up. */
import { CODE, Http2Error } from './codes.js';
import type { HeaderField } from './header-field.js';
import type { HeaderList } from './hpack-decoder.js';

export class RequestHead {
  method = '';
  scheme = '';
  path = '';
  /** Empty where the client named none. */
  authority = '';
  /** Bytes of the body, where the client says it. */
  contentLength: number | undefined;

  private constructor(
    /** All fields in the order in which they came, the pseudo-fields first. */
    readonly fields: readonly HeaderField[],
    /** False when the list was larger than the bound: what is beyond it is missing. */
    readonly complete: boolean,
  ) {}

  /** Throws PROTOCOL_ERROR of the stream on a head that is malformed. */
  static of({ fields, complete }: HeaderList, streamId: number): RequestHead {
    const head = new RequestHead(fields, complete);
    const refuse = (problem: string) => new Http2Error(CODE.PROTOCOL_ERROR, `a request with ${problem}`, streamId);
    let regular = false;
    for (let at = 0; at < fields.length; at++) {
      const field = fields[at] as HeaderField;
      if (!field.valid) throw refuse(`the field "${field.name.slice(0, 40)}", malformed or of HTTP/1.1 connections`);
      if (field.pseudo) {
        if (regular || !head.take(field)) throw refuse(`${field.name.slice(0, 40)} unknown, twice or out of place`);
        continue;
      }
      regular = true;
      if (field.name === 'content-length') head.contentLength = Number(field.value);
    }
    if (complete && (head.method === '' || head.scheme === '' || head.path === '')) {
      throw refuse('no :method, :scheme or :path');
    }
    return head;
  }

  /** The value of a field by its name in lower case: the first, if it came more than once; of cookies all (RFC 9113, 8.2.3). */
  get(name: string): string | undefined {
    const { fields } = this;
    if (name === 'cookie') {
      const cookies = fields.filter((field) => field.name === name);
      return cookies.length === 0 ? undefined : cookies.map(({ value }) => value).join('; ');
    }
    for (let at = 0; at < fields.length; at++) {
      const field = fields[at] as HeaderField;
      if (field.name === name) return field.value;
    }
    return undefined;
  }

  private take({ name, value }: HeaderField): boolean {
    switch (name) {
      case ':method':
        if (this.method !== '') return false;
        this.method = value;
        return true;
      case ':scheme':
        if (this.scheme !== '') return false;
        this.scheme = value;
        return true;
      case ':path':
        if (this.path !== '') return false;
        this.path = value;
        return true;
      case ':authority':
        if (this.authority !== '') return false;
        this.authority = value;
        return true;
      default:
        return false;
    }
  }
}

/** Trailers may be any fields but pseudo-fields. */
export function checkTrailers({ fields }: HeaderList, streamId: number): void {
  for (const field of fields) {
    if (field.pseudo || !field.valid) {
      throw new Http2Error(CODE.PROTOCOL_ERROR, `trailers with the field "${field.name.slice(0, 40)}"`, streamId);
    }
  }
}
