#!/bin/bash
# The Kubeflow Trainer, JobSet and Kueue on the cluster that is up: programs and manifests from their own Go modules.
# Minutes the first time, seconds afterwards.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
needs_linux
[ -s "$HOST_CONFIG" ] || fail "is not up: npm run cluster -- up"
began=$SECONDS
say() { echo "cluster: $* ($((SECONDS - began)) s)"; }
SOURCES=$MANIFESTS/training
rm -rf "$SOURCES" && mkdir -p "$SOURCES" "$IMAGES/training"

# program NAME FOLDER MODULE COMMAND: built, and its image at hand for the node
program() {
  cd "$here/$2"
  nice -n 10 env CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$BIN/$1" "$3$4"
  local archive=$IMAGES/training/$1.tar
  [ "$archive" -nt "$BIN/$1" ] || node "$here/program-image.mjs" "$archive" "dev.local/$1:test" "$BIN/$1" /manager
  ctr_here images import "$archive" >/dev/null
  cp -r "$(GOFLAGS=-mod=mod go list -m -f '{{.Dir}}' "$3")" "$SOURCES/$1"
  chmod -R u+w "$SOURCES/$1"
  say "$3 $(GOFLAGS=-mod=mod go list -m -f '{{.Version}}' "$3")"
}
program jobset jobset sigs.k8s.io/jobset ""
program trainer training github.com/kubeflow/trainer/v2 /cmd/trainer-controller-manager
program kueue training sigs.k8s.io/kueue /cmd/kueue

# apply NAME: what its kustomization renders, with the image that stands on the node and requests that fit a small one
apply() {
  "$BIN/hyperkube" kubectl kustomize "$SOURCES/$1-here" |
    sed -E 's#imagePullPolicy: Always#imagePullPolicy: IfNotPresent#; s#cpu: 500m#cpu: 50m#; s#memory: (128|512)Mi#memory: 256Mi#' >"$MANIFESTS/$1.yaml"
  kubectl_inside apply --server-side --force-conflicts -f "$MANIFESTS/$1.yaml" >/dev/null
}
mkdir "$SOURCES"/{jobset,trainer,kueue}-here
cat >"$SOURCES/jobset-here/kustomization.yaml" <<Y
resources: [../jobset/config/default]
images: [{name: us-central1-docker.pkg.dev/k8s-staging-images/jobset/jobset, newName: dev.local/jobset, newTag: test}]
Y
# the overlay of the Trainer's own, without JobSet, which stands by then
sed -i '/third-party/d' "$SOURCES/trainer/manifests/overlays/manager/kustomization.yaml"
cat >"$SOURCES/trainer-here/kustomization.yaml" <<Y
resources: [../trainer/manifests/overlays/manager]
images: [{name: ghcr.io/kubeflow/trainer/trainer-controller-manager, newName: dev.local/trainer, newTag: test}]
Y
# without the extension of the API server for looks into queues: this API server aggregates none
gone() { printf -- '- patch: "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: %s.visibility.kueue.x-k8s.io}, $patch: delete}"\n' "$@"; }
cat >"$SOURCES/kueue-here/kustomization.yaml" <<Y
resources: [../kueue/config/default]
images: [{name: us-central1-docker.pkg.dev/k8s-staging-images/kueue/kueue, newName: dev.local/kueue, newTag: test}]
patches:
$(gone v1beta1 v1beta2)
Y
for name in jobset trainer kueue; do apply $name; done
say "manifests are applied"
for place in jobset-system kubeflow-system kueue-system; do
  kubectl_inside -n $place rollout status deploy --timeout=180s >/dev/null || fail "$place does not start: npm run cluster -- kubectl -n $place describe pods"
done
say "Trainer, JobSet and Kueue are ready"
