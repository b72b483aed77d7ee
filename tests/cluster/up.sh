#!/bin/bash
# Starts a Kubernetes of one node in a network namespace of its own, and Knative Serving in it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$here/start.sh"
needs_linux
[ -x "$BIN/hyperkube" ] || fail "is not built: npm run cluster -- build"
if [ -s "$RUN/started" ] || [ -e "/run/netns/$NS" ]; then fail "is up already, or was not taken down: npm run cluster -- down"; fi
# half a cluster is of no use to anybody
trap 'code=$?; trap - EXIT; [ $code = 0 ] || { echo "cluster: taking down what was started" >&2; "$here/down.sh"; }; exit $code' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
began=$(date +%s%N)
say() { printf 'cluster: [%5.1f s] %s\n' "$((($(date +%s%N) - began) / 10000000))e-2" "$*"; }

wait_for() { # wait_for SECONDS WHAT COMMAND…
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "$what: not within the time; the logs are in $RUN/log"
    sleep 0.2
  done
  say "$what"
}

mkdir -p "$RUN"/{log,pki,etcd,cni,kubelet,containerd} "$STATE"
: >"$RUN/started"
# with cgroup v2 there is one hierarchy, with v1 one for each controller
if [ -f /sys/fs/cgroup/cgroup.procs ]; then hierarchies=(/sys/fs/cgroup); else hierarchies=(/sys/fs/cgroup/*/); fi
for hierarchy in "${hierarchies[@]}"; do
  if [ -f "$hierarchy/cgroup.procs" ]; then mkdir -p "$hierarchy/$CGROUP"; fi
done
# cpuset's children begin empty, and nothing can run in them
if [ -f "/sys/fs/cgroup/cpuset/$CGROUP/cpuset.cpus" ]; then
  for file in cpuset.cpus cpuset.mems; do cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$CGROUP/$file"; done
fi
ip netns add "$NS"
inside ip link set lo up
inside ip link add node0 type veth peer name node1
inside ip addr add "$NODE_IP/32" dev node0
inside ip link set node0 up
inside ip link set node1 up
inside ip route add default dev node0
inside sysctl -qw net.ipv4.ip_forward=1

[ -f "$RUN/pki/sa.key" ] || openssl genrsa -out "$RUN/pki/sa.key" 2048 2>/dev/null
token=$(openssl rand -hex 24)
echo "$token,admin,admin,\"system:masters\"" >"$RUN/pki/tokens.csv"
chmod 600 "$RUN"/pki/sa.key "$RUN/pki/tokens.csv"
hyperkube etcd --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
start_api
wait_for 60 "the API server made its certificate" test -s "$RUN/pki/apiserver.crt"
umask 077
config() { # config PORT
  cat <<Y
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://localhost:$1", certificate-authority-data: $(base64 -w0 "$RUN/pki/apiserver.crt")}}]
users: [{name: u, user: {token: $token}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
Y
}
config 6443 >"$CONFIG"
config "$HOST_API_PORT" >"$HOST_CONFIG"
umask 022
wait_for 90 "the API server is ready" kubectl_inside get --raw /readyz
hyperkube kube-controller-manager --kubeconfig "$CONFIG" --service-account-private-key-file "$RUN/pki/sa.key" \
  --root-ca-file "$RUN/pki/apiserver.crt" --use-service-account-credentials --leader-elect=false --bind-address 127.0.0.1 \
  --cluster-cidr "$POD_CIDR" --allocate-node-cidrs=false --cert-dir "$RUN/pki/controllers" \
  --controllers '*,-persistentvolume-binder-controller,-persistentvolume-attach-detach-controller,-cloud-node-lifecycle-controller'
hyperkube kube-scheduler --kubeconfig "$CONFIG" --leader-elect=false --bind-address 127.0.0.1 --cert-dir "$RUN/pki/scheduler"

cat >"$RUN/cni/10-ptp.conflist" <<Y
{"cniVersion": "0.4.0", "name": "ptp", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "$RUN/cni-ipam",
    "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
Y
sed -e "s#@RUN@#$RUN#g; s#@STATE@#$STATE#g" "$here/containerd.toml" >"$RUN/containerd.toml"
start containerd containerd -c "$RUN/containerd.toml"
wait_for 30 "containerd is ready" ctr_here version
for archive in "$IMAGES"/*.tar; do ctr_here images import "$archive" >/dev/null; done
say "images are imported"
: >"$RUN/resolv.conf"
cat >"$RUN/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
containerRuntimeEndpoint: unix://$STATE/containerd.sock
clusterDNS: [$NODE_IP]
clusterDomain: cluster.local
resolvConf: $RUN/resolv.conf
enforceNodeAllocatable: []
failSwapOn: false
oomScoreAdj: 0
podLogsDir: $RUN/podlogs
volumePluginDir: $RUN/kubelet/volume-plugins
maxPods: 60
registryPullQPS: 0
serializeImagePulls: false
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
Y
hyperkube kubelet --config "$RUN/kubelet.yaml" --kubeconfig "$CONFIG" --root-dir "$RUN/kubelet" --cert-dir "$RUN/pki/kubelet" \
  --hostname-override node --node-ip "$NODE_IP"
cat >"$RUN/kube-proxy.yaml" <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $CONFIG}
clusterCIDR: $POD_CIDR
hostnameOverride: node
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 100ms}
Y
hyperkube kube-proxy --config "$RUN/kube-proxy.yaml"
# to the API server from the host's loopback, over the edge of the namespace; without nodelay the slowest wait 45 ms
start api-in socat "UNIX-LISTEN:$RUN/api.sock,fork,mode=600" TCP:127.0.0.1:6443,nodelay
start_outside api-out socat "TCP-LISTEN:$HOST_API_PORT,bind=127.0.0.1,fork,reuseaddr,nodelay" "UNIX-CONNECT:$RUN/api.sock"
ready() { [ "$(kubectl_inside get node node -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]; }
wait_for 90 "the node is ready" ready
[ "${1:-}" != kubernetes ] || exit 0

kubectl_inside apply --server-side -f "$MANIFESTS/crds.yaml" >/dev/null
kubectl_inside wait --for=condition=Established crd --all --timeout=30s >/dev/null
start ingress "$BIN/kningress" -kubeconfig "$CONFIG" -listen :8080 -listen-local :8081 -socket "$RUN/ingress.sock" -dns "$NODE_IP:53"
start_outside ingress-out socat "TCP-LISTEN:$HOST_INGRESS_PORT,bind=127.0.0.1,fork,reuseaddr,nodelay" "UNIX-CONNECT:$RUN/ingress.sock"
kubectl_inside apply --server-side -f "$MANIFESTS/serving.yaml" >/dev/null
kubectl_inside -n knative-serving rollout status deploy --timeout=180s >/dev/null
say "Knative is ready"
echo "cluster: export SLUICE_TEST_KUBECONFIG=$HOST_CONFIG; ingress at http://127.0.0.1:$HOST_INGRESS_PORT"
