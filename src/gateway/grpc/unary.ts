import { AppError } from '../../errors.js';
import type { CallReceiver } from './call.js';

/** The message of a call that has exactly one: the one that came, when none came `before`, and there is one at all. */
export function oneMessage(message: Buffer | undefined, before?: Buffer): Buffer {
  if (before !== undefined) throw new AppError('invalid', 'the call has more than one message, this method takes one');
  if (message === undefined) throw new AppError('invalid', 'the call has no message, this method takes one');
  return message;
}

/**
 * The receiver of a call that has exactly one message: `handle` is given it once the client has sent all. What it returns
 * is called when the client gives up before the call was ended.
 */
export function unary(handle: (message: Buffer) => (() => void) | undefined): CallReceiver {
  let message: Buffer | undefined;
  let giveUp: (() => void) | undefined;
  return {
    unary: true,
    message(bytes) {
      message = oneMessage(bytes, message);
    },
    end() {
      giveUp = handle(oneMessage(message));
    },
    cancel() {
      giveUp?.();
    },
  };
}
