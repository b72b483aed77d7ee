#!/bin/bash
# npm run cluster -- build | up | load FILE… | kubectl … | env | down
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
  build) exec "$here/build.sh" "$@" ;;
  up) "$here/build.sh" && exec "$here/up.sh" "$@" ;;
  down) exec "$here/down.sh" "$@" ;;
  load)
    [ -S "$STATE/containerd.sock" ] || fail "is not up: npm run cluster -- up"
    [ $# -gt 0 ] || fail "load what? npm run images, then: npm run cluster -- load dist/images/*.tar"
    for file in "$@"; do ctr_here images import "$file"; done
    ;;
  kubectl)
    [ -s "$HOST_CONFIG" ] || fail "is not up: npm run cluster -- up"
    exec "$BIN/hyperkube" kubectl --kubeconfig "$HOST_CONFIG" "$@"
    ;;
  env) echo "export SLUICE_TEST_KUBECONFIG=$HOST_CONFIG" ;;
  *)
    echo "A real Kubernetes ($KUBERNETES_VERSION) with Knative Serving ($KNATIVE_VERSION), on this machine alone." >&2
    sed -n 's/^# \(npm run cluster\)/\1/p' "${BASH_SOURCE[0]}" >&2
    [ "$command" = help ] || exit 2
    ;;
esac
