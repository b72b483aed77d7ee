/** Sends a subscription its events, one after the other: the next one goes when the one before it was taken or given up. */
import { type SendDeps, tryDelivery } from './send.js';
import { TRY_MS } from './store.js';
import { type Lease, leaseSubscription, nextDelivery, releaseLease, renewLease, setEnabled } from './subscriptions.js';

/** Longer than a try: only a worker that died loses a subscription. */
const LEASE_MS = TRY_MS + 5000;
/** Events sent before others have their turn. */
const MOST_AT_ONCE = 50;
/** A delivery that another worker holds is looked at again after so long. */
const BUSY_MS = 2000;

/** Sends what waits. True when there may be more at once. */
export async function pushEvents(deps: SendDeps, id: string, signal: AbortSignal): Promise<boolean> {
  const { db } = deps;
  const lease = await leaseSubscription(db, id, LEASE_MS);
  if (!lease) return false;
  for (let sent = 0; sent < MOST_AT_ONCE && !signal.aborted; sent++) {
    const delivery = await nextDelivery(db, lease);
    if (delivery === undefined) {
      await releaseLease(db, lease, 0, '');
      return false;
    }
    if (!(await renewLease(db, lease, LEASE_MS))) return false;
    const tried = await tryDelivery(deps, delivery, signal);
    if (await stopsAt(deps, lease, tried)) return false;
  }
  await releaseLease(db, lease, 0, '');
  return true;
}

type Tried = Awaited<ReturnType<typeof tryDelivery>>;

/** Whether what became of a try ends this turn; the subscription is let go then. */
async function stopsAt({ db }: SendDeps, lease: Lease, tried: Tried): Promise<boolean> {
  if (!tried || tried.state === 'queued') {
    const reason = tried ? `try ${tried.attempt}: ${tried.reason}` : 'another worker is at it';
    await releaseLease(db, lease, tried?.inMs ?? BUSY_MS, reason);
    return true;
  }
  if (tried.status !== 410) return false;
  await setEnabled(db, { ...lease, enabled: false, reason: 'its receiver answered 410: it wants no more' });
  await releaseLease(db, lease, 0, '');
  return true;
}
