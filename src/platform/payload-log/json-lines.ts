import { eventJson, readEventJson } from '../../core/payload-log/cloud-event.js';
import type { PayloadRecord } from '../../core/payload-log/record.js';
import type { FileFormat } from './format.js';

const NOTHING = Buffer.alloc(0);
const NEWLINE = 10;

/** One CloudEvent a line, in the JSON event format. */
export const jsonLines: FileFormat = {
  encoder: () => ({
    append: (records) => Buffer.from(records.map((record) => `${eventJson(record)}\n`).join('')),
    end: () => NOTHING,
  }),
  async decode(file) {
    const records: PayloadRecord[] = [];
    for (let at = 0; at < file.length; ) {
      const end = file.indexOf(NEWLINE, at);
      const line = file.toString('utf8', at, end === -1 ? file.length : end);
      if (line !== '') records.push(readEventJson(line));
      at = end === -1 ? file.length : end + 1;
    }
    return records;
  },
};
