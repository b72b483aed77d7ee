/** What one connection may take of this process. */
export interface Http2Limits {
  /** Streams open at once; more are refused, and a client waits before it opens more than it was told. */
  readonly maxStreams: number;
  /** Bytes of a request's header list as RFC 9113 counts it (section 10.5.1); larger ones come cut, marked as such. */
  readonly maxHeaderListBytes: number;
  /** Bytes of one stream that may be on their way or unread. */
  readonly streamWindowBytes: number;
  /** The same for all streams of the connection together. */
  readonly connectionWindowBytes: number;
  /** Answers waiting for a client that does not take them: with more than this no new stream is taken on. */
  readonly maxUnsentBytes: number;
  /** Longest for the client's first frames, for the rest of anything it began, and for it to take what waits for it. */
  readonly stallMs: number;
  /** A connection without a request for so long is drained; clients make a new one when they need it. */
  readonly idleMs: number;
  /** Resets of unanswered streams beyond the answered ones: at once, and each second (CVE-2023-44487). */
  readonly resets: { readonly burst: number; readonly perSecond: number };
  /** Frames that ask for nothing (PING, SETTINGS, empty DATA and the like) beyond those that real work explains. */
  readonly idleFrames: { readonly burst: number; readonly perSecond: number };
}

export const DEFAULT_LIMITS: Http2Limits = {
  maxStreams: 1024,
  maxHeaderListBytes: 16 * 1024,
  streamWindowBytes: 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  maxUnsentBytes: 256 * 1024 * 1024,
  stallMs: 60_000,
  idleMs: 600_000,
  resets: { burst: 1000, perSecond: 200 },
  idleFrames: { burst: 10_000, perSecond: 2000 },
};
