#!/bin/bash
# Programs from Go modules, their images, and Knative's manifests. Minutes the first time, seconds afterwards.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
needs_linux
command -v go >/dev/null || fail "needs Go (1.24 or later) to build Kubernetes and Knative from their modules"
missing=()
for program in containerd:containerd runc:runc iptables:iptables conntrack:conntrack socat:socat ip:iproute2 openssl:openssl; do
  command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
done
[ -x /usr/lib/cni/ptp ] || missing+=(containernetworking-plugins)
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "needs ${missing[*]}: install them"
  echo "cluster: installing ${missing[*]}"
  apt-get update -q && apt-get install -y --no-install-recommends "${missing[@]}"
fi
mkdir -p "$BIN" "$IMAGES" "$MANIFESTS"
began=$SECONDS
say() { echo "cluster: $* ($((SECONDS - began)) s)"; }
build() { nice -n 10 env CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -buildvcs=false "$@"; }

cd "$here/hyperkube"
IFS=. read -r major minor _ <<<"${KUBERNETES_VERSION#v}"
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  for pair in gitVersion="$KUBERNETES_VERSION" gitMajor="$major" gitMinor="$minor" gitTreeState=clean \
    gitCommit=0000000000000000000000000000000000000000 buildDate=1970-01-01T00:00:00Z; do
    flags="$flags -X $package.$pair"
  done
done
build -tags "osusergo netgo" -ldflags "$flags" -o "$BIN/hyperkube" .
say "Kubernetes $KUBERNETES_VERSION"

cd "$here/knative"
serving=(controller webhook autoscaler activator queue)
build -ldflags "-s -w" -o "$BIN/" "${serving[@]/#/knative.dev/serving/cmd/}"
build -ldflags "-s -w" -o "$BIN/kningress" ./ingress
build -ldflags "-s -w" -o "$BIN/pause" ./pause
say "Knative Serving $KNATIVE_VERSION"

image() { # image NAME PROGRAM PATH: its archive, unless it is newer than the program
  local archive=$IMAGES/${1//[\/:]/_}.tar
  [ "$archive" -nt "$BIN/$2" ] || node "$here/program-image.mjs" "$archive" "$1" "$BIN/$2" "$3"
}
image dev.local/pause:1 pause /pause
for program in "${serving[@]}"; do image "dev.local/knative-$program:$KNATIVE_VERSION" "$program" "/ko-app/$program"; done
say images

module() { GOFLAGS=-mod=mod go list -m -f '{{.Dir}}' "$1"; }
S=$(module knative.dev/serving) N=$(module knative.dev/networking) C=$(module knative.dev/caching)
together() { for file in "$@"; do printf -- '---\n'; cat "$file"; echo; done; }
# settings FILE LINE…: a ConfigMap with settings put before its example
settings() { local file=$1; shift; printf -- '---\n'; awk -v lines="$(printf '  %s\n' "$@")" '{print} /^data:/{print lines}' "$file"; echo; }
together "$S"/config/core/300-resources/*.yaml "$N"/config/{certificate,domain-claim,ingress,serverlessservice}.yaml \
  "$C"/config/image.yaml >"$MANIFESTS/crds.yaml"
maps=$S/config/core/configmaps
{
  together "$S"/config/core/100-namespace.yaml "$S"/config/core/200-roles/*.yaml "$S"/config/core/200-serviceaccount.yaml
  together "$maps"/{certmanager,defaults,features,gc,leader-election,logging,observability,tracing}.yaml
  settings "$maps/deployment.yaml" 'registries-skipping-tag-resolving: "dev.local"' \
    'queue-sidecar-memory-request: "50Mi"' 'queue-sidecar-ephemeral-storage-request: "10Mi"' 'queue-sidecar-cpu-request: "10m"'
  settings "$maps/domain.yaml" 'test.local: ""'
  settings "$maps/autoscaler.yaml" "stable-window: \"$STABLE_WINDOW\"" "scale-to-zero-grace-period: \"$GRACE\""
  settings "$N/config/config-network.yaml" 'ingress-class: "test.ingress.networking.knative.dev"'
  together "$S"/config/core/deployments/{activator,autoscaler,controller,webhook}.yaml "$S"/config/core/webhooks/*.yaml
  cat "$here/ingress-service.yaml"
} | sed -E "s#ko://knative.dev/serving/cmd/([a-z]+)#dev.local/knative-\1:$KNATIVE_VERSION#; s#@NODE_IP@#$NODE_IP#" >"$MANIFESTS/serving.yaml"
say "manifests: all built"
