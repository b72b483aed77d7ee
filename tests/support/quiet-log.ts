import { createLog } from '../../src/log.js';

/** A log that says nothing. */
export const quietLog = createLog({ level: 'silent', format: 'text' });
