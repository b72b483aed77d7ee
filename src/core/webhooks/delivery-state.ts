/** Where a webhook stands. */
export type DeliveryState = 'queued' | 'delivered' | 'failed';
