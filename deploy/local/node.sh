# shellcheck shell=bash
# The node: container runtime, kubelet, kube-proxy, volumes, DNS. Sourced by up.sh after control.sh.

for plugins in /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do [ ! -x "$plugins/bridge" ] || break; done
mkdir -p "$CONFIG/cni" "$RUN/containerd" "$RUN/tmp" "$VAR/kubelet" "$LOGS/pods"

# The first `ip netns add` of anybody on this machine would lay this directory over itself with all that is mounted below: the
# pods' namespaces would be there twice, and could not be removed any more. Done beforehand, it has nothing to do.
if ! mountpoint -q /run/netns; then
    mkdir -p /run/netns
    mount --bind /run/netns /run/netns
    mount --make-shared /run/netns
    touch "$VAR/netns.mounted"
fi

put "$CONFIG/cni/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "redissync", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "$VAR/cni", "ranges": [[{"subnet": "$POD_CIDR_NODE"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
# restrict_oom_score_adj: without CAP_SYS_RESOURCE (within a container, say) no pod starts otherwise.
put "$CONFIG/containerd.toml" <<END
version = 2
root = "$VAR/containerd"
state = "$RUN/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$CRI"
[ttrpc]
  address = "$CRI.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10.1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$plugins"
    conf_dir = "$CONFIG/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
END
start containerd env TMPDIR="$RUN/tmp" containerd --config "$CONFIG/containerd.toml"
await 60 "containerd answers" containerd ctr --address "$CRI" version
for image in "$BIN"/images/*.tar; do import_image "$image"; done

start local-provisioner "$BIN/local-provisioner" --kubeconfig="$PKI/admin.kubeconfig" --directory="$VOLUMES"
# Pods see only the names of the cluster: an empty file, since the machine's own may point to its loopback.
put "$CONFIG/resolv.conf" < /dev/null
put "$CONFIG/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
address: 0.0.0.0
tlsCertFile: $PKI/kubelet-server.crt
tlsPrivateKeyFile: $PKI/kubelet-server.key
containerRuntimeEndpoint: unix://$CRI
podLogsDir: $LOGS/pods
cgroupDriver: cgroupfs
failCgroupV1: false
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: ["$DNS_IP"]
resolvConf: $CONFIG/resolv.conf
makeIPTablesUtilChains: false
registerNode: true
maxPods: 110
# The disk is the user's own: pods are not evicted for what else is on it, and images are not collected.
localStorageCapacityIsolation: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
volumePluginDir: $VAR/kubelet/volumeplugins
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
serializeImagePulls: false
END
# kubelet uses these two whatever its configuration says; down.sh takes away what was not there before.
for directory in /var/lib/kubelet /var/log/containers; do
    [ -e "$directory" ] || echo "$directory" >> "$VAR/made"
done
start kubelet "$BIN/kubelet" --config="$CONFIG/kubelet.yaml" --kubeconfig="$PKI/kubelet.kubeconfig" --root-dir="$VAR/kubelet" \
    --cert-dir="$VAR/kubelet/pki" --hostname-override="$NODE" --node-ip="$NODE_IP" --v=2
put "$CONFIG/kube-proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $PKI/proxy.kubeconfig}
clusterCIDR: $POD_CIDR
hostnameOverride: $NODE
bindAddress: $NODE_IP
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
start kube-proxy "$BIN/kube-proxy" --config="$CONFIG/kube-proxy.yaml"

kubectl apply --filename "$cluster_dir/manifests" > "$LOGS/manifests.log" 2>&1 || { cat "$LOGS/manifests.log" >&2; die "the manifests were not taken"; }
await 60 "the node has registered" kubelet kubectl get node "$NODE"
await 120 "the node is ready" kubelet kubectl wait --for=condition=Ready "node/$NODE" --timeout=1s
await 120 "names are served" kubelet kubectl --namespace kube-system rollout status deployment/coredns --timeout=1s
