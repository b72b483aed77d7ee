#!/bin/bash
# npm run cluster -- build | up | training | load FILE… | kubectl … | env | api-stop | api-start | down
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
  build) exec "$here/build.sh" "$@" ;;
  up) "$here/build.sh" && exec "$here/up.sh" "$@" ;;
  training) exec "$here/training.sh" "$@" ;; # the Kubeflow Trainer, JobSet and Kueue, on the cluster that is up
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
  api-stop) # the API server goes, and everything else stays
    [ -s "$RUN/started" ] || fail "is not up: npm run cluster -- up"
    read -r pid _ <<<"$(grep ' kube-apiserver$' "$RUN/started" | tail -1)"
    kill "$pid"
    while [ -e "/proc/$pid" ]; do sleep 0.1; done
    ;;
  api-start)
    . "$here/start.sh"
    start_api
    for _ in $(seq 300); do kubectl_inside get --raw /readyz >/dev/null 2>&1 && exit 0; sleep 0.2; done
    fail "the API server is not ready within a minute; its log is in $RUN/log"
    ;;
  env) echo "export SLUICE_TEST_KUBECONFIG=$HOST_CONFIG" ;;
  *)
    echo "A real Kubernetes ($KUBERNETES_VERSION) with Knative Serving ($KNATIVE_VERSION), on this machine alone." >&2
    sed -n 's/^# \(npm run cluster\)/\1/p' "${BASH_SOURCE[0]}" >&2
    [ "$command" = help ] || exit 2
    ;;
esac
