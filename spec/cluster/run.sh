#!/usr/bin/env bash
# Runs the specs of what Kubernetes is asked against the cluster of KUBECONFIG, in a namespace of their own; arguments
# are busted's. What it makes there it takes away again, however it ends; a definition that was there is used and left.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${KUBECONFIG:?names the kubeconfig of the cluster to test against}"

definition=customresourcedefinition/rayclusters.distributed-compute.dominodatalab.com
specs=(spec/integration/{endpoints,refusals,answers,watch}_spec.lua)
namespace=rayclusterscaler-test-$(od -An -N5 -tx1 /dev/urandom | tr -d ' \n')
collection=/apis/distributed-compute.dominodatalab.com/v1alpha1/namespaces/$namespace/rayclusters
scratch=$(mktemp -d)
started=()

kubectl() { build/tools/kubectl --cache-dir "$scratch/cache" "$@"; }

# proxy PATHS: kubectl's, with the kubeconfig's credential, for these paths alone; its port is $port.
proxy() {
  : >"$scratch/proxy"
  build/tools/kubectl proxy --port=0 --accept-paths="$1" >"$scratch/proxy" &
  started+=($!)
  for _ in {1..100}; do
    [ ! -s "$scratch/proxy" ] || break
    sleep 0.1
  done
  port=$(sed -n 's/^Starting to serve on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$scratch/proxy")
  [ -n "$port" ]
}

# Where only kube-apiserver and etcd run, as in envtest, nobody empties and releases a namespace that is deleted; there,
# nobody has made it a service account either.
delete_namespace() {
  local released=yes second
  kubectl get --raw "/api/v1/namespaces/$namespace/serviceaccounts/default" >/dev/null 2>&1 || released=
  kubectl delete --ignore-not-found --wait=false "namespace/$namespace" || return
  for ((second = 0; second < 120; second++)); do
    kubectl get --ignore-not-found -o name "namespace/$namespace" >"$scratch/left" || return
    [ -s "$scratch/left" ] || return 0
    if [ -z "$released" ] && ((second == 10)); then
      kubectl delete --namespace "$namespace" --all --timeout=60s rayclusters.distributed-compute.dominodatalab.com
      proxy "^/api/v1/namespaces/$namespace/finalize\$"
      kubectl get -o json "namespace/$namespace" | sed '/^ *"kubernetes"$/d' |
        curl -sS -f -o /dev/null -X PUT -H 'Content-Type: application/json' --data-binary @- \
          "http://127.0.0.1:$port/api/v1/namespaces/$namespace/finalize"
    fi
    sleep 1
  done
  return 1
}

end_started() {
  local pid
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  started=()
}

clean_up() {
  local code=$? failed=0
  trap '' INT TERM HUP
  trap - EXIT
  end_started
  delete_namespace || failed=1
  end_started
  # By its label: never one that somebody else has made.
  kubectl delete --timeout=120s customresourcedefinition -l "rayclusterscaler-test=$namespace" || failed=1
  ((failed == 0)) || echo "there may be left: namespace/$namespace, and $definition if it is labelled so" >&2
  rm -rf "$scratch"
  exit $((code ? code : failed))
}
trap 'rm -rf "$scratch"' EXIT
kubectl get --raw /version >/dev/null
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ -z "$(kubectl get --ignore-not-found -o name "$definition")" ]; then
  sed "s/NAMESPACE/$namespace/" spec/cluster/rayclusters.yaml | kubectl create --validate=false -f -
  # It fails where there are no conditions yet; below is seen whether the definition serves.
  kubectl wait --for=condition=Established --timeout=60s "$definition" || true
fi
kubectl create --validate=false -f - <<<"{apiVersion: v1, kind: Namespace, metadata: {name: $namespace}}"
for _ in {1..120}; do # what is established is served a little later
  ! kubectl get --raw "$collection" >/dev/null 2>&1 || break
  sleep 0.5
done
kubectl get --raw "$collection" >/dev/null

# The specs write through it; it lets nobody reach anything but their objects.
proxy "^$collection(/|\$)"

# Credentials that the service refuses, because somebody has to make them first, are kubectl's business; the service
# then asks through its proxy.
kubeconfig=$KUBECONFIG
users='{.users[*].user.exec.command}{.users[*].user.auth-provider.name}{.users[*].user.as}'
if [ -n "$(kubectl config view --minify -o jsonpath="$users")" ]; then
  kubeconfig=$scratch/kubeconfig
  cat >"$kubeconfig" <<EOF
{apiVersion: v1, kind: Config, current-context: proxy, contexts: [{name: proxy, context: {cluster: proxy}}],
 clusters: [{name: proxy, cluster: {server: "http://127.0.0.1:$port"}}]}
EOF
fi

KUBECONFIG=$kubeconfig CLUSTER_NAMESPACE=$namespace CLUSTER_PORT=$port \
  lua5.4 /usr/bin/busted "$@" "${specs[@]}" &
started+=($!)
wait $!
