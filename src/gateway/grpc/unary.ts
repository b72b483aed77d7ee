import { AppError } from '../../errors.js';
import type { CallReceiver } from './call.js';

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
      if (message !== undefined)
        throw new AppError('invalid', 'the call has more than one message, this method takes one');
      message = bytes;
    },
    end() {
      if (message === undefined) throw new AppError('invalid', 'the call has no message, this method takes one');
      giveUp = handle(message);
    },
    cancel() {
      giveUp?.();
    },
  };
}
