# shellcheck shell=bash
# The control plane. Sourced by up.sh.

if [ "$mode" = node ]; then
    # Saved once: kubelet, kube-proxy and the network plugin change these, down.sh puts them back.
    [ -f "$VAR/sysctl.before" ] || sysctl net.ipv4.ip_forward vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops \
        kernel.keys.root_maxkeys kernel.keys.root_maxbytes net.ipv4.conf.all.route_localnet 2> /dev/null > "$VAR/sysctl.before" || true
    ip link show k8s0 > /dev/null 2>&1 || {
        ip link add k8s0 type bridge
        ip address add "$NODE_IP/32" dev k8s0
        ip link set k8s0 up
    }
    # Addresses of services never leave the machine, even where no rule catches them.
    ip route replace "$SERVICE_CIDR" dev k8s0 src "$NODE_IP"
    sysctl -qw net.ipv4.ip_forward=1
    reachable=(--bind-address=0.0.0.0)
else
    reachable=(--bind-address=127.0.0.1 --endpoint-reconciler-type=none)
fi

# Nothing in it has to outlive a crash of the machine, and an fsync for each write costs more than all the rest.
start etcd "$BIN/etcd" --name=etcd --data-dir="$VAR/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls="http://127.0.0.1:$ETCD_PORT" --advertise-client-urls="http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls="http://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls="http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-cluster="etcd=http://127.0.0.1:$ETCD_PEER_PORT"
start kube-apiserver "$BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$ETCD_PORT" --secure-port="$API_PORT" "${reachable[@]}" --advertise-address="$NODE_IP" \
    --allow-privileged=true --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction,PodSecurity \
    --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --cert-dir="$VAR/apiserver" --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$PKI/apiserver-kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
    --kubelet-certificate-authority="$PKI/ca.crt" --proxy-client-cert-file="$PKI/front-proxy-client.crt" \
    --proxy-client-key-file="$PKI/front-proxy-client.key" --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" \
    --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
    --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$PKI/service-account.pub" \
    --service-account-signing-key-file="$PKI/service-account.key" --service-cluster-ip-range="$SERVICE_CIDR" --profiling=false
await 120 "the API server is ready" kube-apiserver kubectl get --raw=/readyz

start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$PKI/controller-manager.kubeconfig" \
    --authentication-kubeconfig="$PKI/controller-manager.kubeconfig" --authorization-kubeconfig="$PKI/controller-manager.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials=true --root-ca-file="$PKI/ca.crt" \
    --service-account-private-key-file="$PKI/service-account.key" --cluster-signing-cert-file="$PKI/ca.crt" \
    --cluster-signing-key-file="$PKI/ca.key" --allocate-node-cidrs=true --cluster-cidr="$POD_CIDR" \
    --service-cluster-ip-range="$SERVICE_CIDR" --node-monitor-grace-period=40s --profiling=false
start kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$PKI/scheduler.kubeconfig" --authentication-kubeconfig="$PKI/scheduler.kubeconfig" \
    --authorization-kubeconfig="$PKI/scheduler.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false --profiling=false
await 60 "the default service account is there" kube-controller-manager kubectl --namespace default get serviceaccount default
