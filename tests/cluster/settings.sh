# What the scripts share. Each can be set from outside; a second cluster beside the first needs other values for
# NS, RUN, STATE, HOST_API_PORT and HOST_INGRESS_PORT, and for nothing else.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
# versions are named in the modules alone: hyperkube/go.mod and knative/go.mod
version_of() { awk -v m="$2" '$1 == "require" {shift = 1} $(1 + shift) == m {print $(2 + shift); exit} {shift = 0}' "$here/$1/go.mod"; }
KUBERNETES_VERSION=$(version_of hyperkube k8s.io/kubernetes)
KNATIVE_VERSION=$(version_of knative knative.dev/serving)

: "${SLUICE_TEST_CLUSTER:=$HOME/.cache/sluice-test/cluster}"
: "${BIN:=$SLUICE_TEST_CLUSTER/bin}" "${IMAGES:=$SLUICE_TEST_CLUSTER/images}" "${MANIFESTS:=$SLUICE_TEST_CLUSTER/manifests}"
: "${RUN:=$SLUICE_TEST_CLUSTER/run}"   # data, logs, what was started
: "${STATE:=/run/kubetest}"            # containerd's sockets: their paths must be short
: "${NS:=kubetest}"                    # the network namespace that all of it lives in
: "${NODE_IP:=10.10.0.1}" "${POD_CIDR:=10.244.0.0/24}" "${SERVICE_CIDR:=10.96.0.0/16}"
: "${HOST_API_PORT:=16443}" "${HOST_INGRESS_PORT:=18080}"  # on the host's 127.0.0.1
: "${STABLE_WINDOW:=12s}" "${GRACE:=10s}"                  # Knative's scaling to zero
RUN=$(realpath -m "$RUN") STATE=$(realpath -m "$STATE")
CONFIG=$RUN/kubeconfig       # within the namespace
HOST_CONFIG=$RUN/kubeconfig.host
CGROUP=kubetest-$NS          # the kubelet's own, below which its pods' are

fail() { echo "cluster: $*" >&2; exit 1; }
inside() { nsenter --net="/run/netns/$NS" -- "$@"; }
kubectl_inside() { inside "$BIN/hyperkube" kubectl --kubeconfig "$CONFIG" "$@"; }
ctr_here() { ctr -a "$STATE/containerd.sock" -n k8s.io "$@"; }
needs_linux() {
  [ "$(uname -s)" = Linux ] || fail "needs Linux: it runs in namespaces"
  [ "$(id -u)" = 0 ] || fail "needs root, for namespaces, mounts and cgroups; any other cluster works by SLUICE_TEST_KUBECONFIG"
}
