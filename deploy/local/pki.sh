#!/usr/bin/env bash
# Certificates of one authority and the kubeconfigs of the parts, once. They are for this machine's loopback and bridge only.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
if [ -f "$PKI/complete" ]; then exit 0; fi
umask 077
mkdir -p "$PKI"
cd "$PKI"

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

authority() { # FILE COMMON-NAME
    new_key "$1"
    openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days 3650 -out "$1.crt" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
}

certificate() { # FILE SUBJECT AUTHORITY USAGE [NAMES]
    new_key "$1"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    {
        echo "basicConstraints=critical,CA:FALSE"
        echo "keyUsage=critical,digitalSignature,keyEncipherment"
        echo "extendedKeyUsage=$4"
        [ -z "${5:-}" ] || echo "subjectAltName=$5"
    } > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -days 3650 -extfile "$1.ext" -out "$1.crt" 2> /dev/null
    rm -f "$1.csr" "$1.ext"
}

kubeconfig() { # FILE CERTIFICATE
    cat > "$1" <<END
apiVersion: v1
kind: Config
clusters: [{name: redissync-local, cluster: {server: "https://127.0.0.1:$API_PORT", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $2, user: {client-certificate-data: $(base64 -w0 "$2.crt"), client-key-data: $(base64 -w0 "$2.key")}}]
contexts: [{name: redissync-local, context: {cluster: redissync-local, user: $2}}]
current-context: redissync-local
END
}

service_names="DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
authority ca kubernetes-ca
authority front-proxy-ca front-proxy-ca
certificate apiserver /CN=kube-apiserver ca serverAuth "$service_names,DNS:localhost,IP:127.0.0.1,IP:$API_SERVICE_IP,IP:$NODE_IP"
certificate apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client ca clientAuth
certificate front-proxy-client /CN=front-proxy-client front-proxy-ca clientAuth
certificate admin /O=system:masters/CN=kubernetes-admin ca clientAuth
certificate controller-manager /CN=system:kube-controller-manager ca clientAuth
certificate scheduler /CN=system:kube-scheduler ca clientAuth
certificate proxy /CN=system:kube-proxy ca clientAuth
certificate kubelet "/O=system:nodes/CN=system:node:$NODE" ca clientAuth
certificate kubelet-server "/CN=$NODE" ca serverAuth "DNS:$NODE,IP:127.0.0.1,IP:$NODE_IP"
new_key service-account
openssl ec -in service-account.key -pubout -out service-account.pub 2> /dev/null
for part in admin controller-manager scheduler proxy kubelet; do kubeconfig "$part.kubeconfig" "$part"; done
cp admin.kubeconfig "$OUR_KUBECONFIG"
touch complete
