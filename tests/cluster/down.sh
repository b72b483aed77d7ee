#!/bin/bash
# Ends all that up.sh started and nothing else, however far it came: processes by number and time of start, pods' programs
# by the namespaces and cgroups that are this cluster's, then its mounts, cgroups and namespaces.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
needs_linux
running() { [ "$(cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null)" = "$2" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
end() { # end SIGNAL NAME…: of what was noted; without names all, the last first
  local signal=$1; shift
  tac "$RUN/started" 2>/dev/null | while read -r pid since name; do
    if [ $# = 0 ] || [[ " $* " = *" $name "* ]]; then running "$pid" "$since" && kill "-$signal" "$pid" 2>/dev/null; fi
  done
}
any() { while read -r pid since _; do running "$pid" "$since" && return 0; done <"$RUN/started"; return 1; } 2>/dev/null

# the kubelet first, so that it starts nothing again; containerd, which ends the pods, last
end TERM kubelet kube-proxy ingress
sleep 0.5
if [ -S "$STATE/containerd.sock" ]; then
  tasks() { timeout 20 ctr -a "$STATE/containerd.sock" -n k8s.io "$@" 2>/dev/null; }
  for task in $(tasks tasks ls -q); do tasks tasks kill -s SIGKILL "$task" >/dev/null; done
  sleep 0.5
  for task in $(tasks tasks ls -q); do tasks tasks rm -f "$task" >/dev/null; done
  for container in $(tasks containers ls -q); do tasks containers rm "$container" >/dev/null; done
fi
end TERM
for _ in $(seq 25); do any || break; sleep 0.2; done
end KILL
# shims outlive containerd, and carry its address; processes in the cluster's cgroups are its pods'
for process in /proc/[0-9]*; do
  if tr '\0' ' ' <"$process/cmdline" 2>/dev/null | grep -q -- "containerd-shim.* -address $STATE/containerd.sock"; then
    kill -9 "${process#/proc/}"
  fi
done 2>/dev/null
groups() { find /sys/fs/cgroup -depth -type d -path "*/$CGROUP*" 2>/dev/null | grep -E "/$CGROUP(/|\$)"; }
for group in $(groups); do while read -r pid; do kill -9 "$pid"; done <"$group/cgroup.procs"; done 2>/dev/null
# pods' network namespaces are those at the other end of this one's links
pods=$(ip -n "$NS" -o link show type veth 2>/dev/null | grep -oE 'link-netns cni-[0-9a-f-]+' | cut -d' ' -f2)
for pid in $(ip netns pids "$NS" 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
sleep 0.2
for name in $pods "$NS"; do ip netns del "$name" 2>/dev/null; done
for _ in 1 2 3; do
  awk '{print $2}' /proc/mounts | grep -E "^($RUN|$STATE)/" | sort -r | while read -r mount; do umount -l "$mount" 2>/dev/null; done
done
for _ in 1 2 3 4 5; do
  left=$(groups)
  [ -n "$left" ] || break
  for group in $left; do rmdir "$group" 2>/dev/null; done
  sleep 0.2
done
# what containerd and the kubelet leave outside of their folders
for file in "$STATE"/containerd/io.containerd.runtime.v2.task/k8s.io/*/address; do
  [ -f "$file" ] && rm -f "$(sed 's#^unix://##' "$file")"
done
for link in /var/log/containers/*.log; do
  [[ "$(readlink "$link" 2>/dev/null)" = "$RUN"/* ]] && rm -f "$link"
done
rm -rf "$STATE" "$RUN"/{started,etcd,kubelet,cni-ipam,podlogs,ingress.sock,api.sock,kubeconfig,kubeconfig.host}
# unpacked images make the next start quicker
[ "${KEEP_IMAGES:-1}" = 1 ] || rm -rf "$RUN/containerd"
left=$( (any && echo processes; groups; ls -d "/run/netns/$NS" 2>/dev/null; grep -E " ($RUN|$STATE)/" /proc/mounts) 2>/dev/null)
[ -z "$left" ] || fail "is down, and this is left: $left"
