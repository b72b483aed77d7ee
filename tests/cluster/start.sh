# How the cluster's programs are started: noted, so that they can be ended.

# note PID NAME: with the time of its start, so that down.sh ends this process and no later one of its number
note() { echo "$1 $(cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null || echo 0) $2" >>"$RUN/started"; }
# nsenter, not `ip netns exec`: that mounts a fresh /sys, and hides the cgroups
start() { local name=$1; shift; setsid nsenter --net="/run/netns/$NS" -- "$@" >"$RUN/log/$name.log" 2>&1 </dev/null & note $! "$name"; }
start_outside() { local name=$1; shift; setsid "$@" >"$RUN/log/$name.log" 2>&1 </dev/null & note $! "$name"; }
hyperkube() { start "$1" "$BIN/hyperkube" "$@"; }
start_api() {
  hyperkube kube-apiserver --etcd-servers http://127.0.0.1:2379 --cert-dir "$RUN/pki" \
    --bind-address 0.0.0.0 --advertise-address "$NODE_IP" --secure-port 6443 --service-cluster-ip-range "$SERVICE_CIDR" \
    --authorization-mode Node,RBAC --token-auth-file "$RUN/pki/tokens.csv" --kubelet-preferred-address-types InternalIP \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$RUN/pki/sa.key" \
    --service-account-signing-key-file "$RUN/pki/sa.key" --allow-privileged=true --enable-priority-and-fairness=false
}
