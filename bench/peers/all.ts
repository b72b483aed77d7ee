import { bentoml } from './bentoml/peer.js';
import { envoy } from './envoy/peer.js';
import { floorEcho } from './floor-echo/peer.js';
import { floorNode } from './floor-node/peer.js';
import { floorPython } from './floor-python/peer.js';
import { haproxy } from './haproxy/peer.js';
import { kserve } from './kserve/peer.js';
import { mlserver } from './mlserver/peer.js';
import { nginx } from './nginx/peer.js';
import type { Peer } from './peer.js';
import { rayServe } from './ray-serve/peer.js';
import { sluice } from './sluice/peer.js';
import { sluiceProxy } from './sluice-proxy/peer.js';
import { triton } from './triton/peer.js';

/** In the order in which they take their turns: what is compared closely is measured closely after one another. */
export const PEERS: readonly Peer[] = [
  floorNode,
  sluice,
  floorPython,
  triton,
  mlserver,
  kserve,
  bentoml,
  rayServe,
  floorEcho,
  nginx,
  haproxy,
  envoy,
  sluiceProxy,
];
