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

clean_up() {
  local code=$? failed=0 pid
  trap '' INT TERM HUP
  trap - EXIT
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  kubectl delete --ignore-not-found --timeout=120s "namespace/$namespace" || failed=1
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
  kubectl wait --for=condition=Established --timeout=60s "$definition"
fi
kubectl create --validate=false -f - <<<"{apiVersion: v1, kind: Namespace, metadata: {name: $namespace}}"
for _ in {1..60}; do # what is established is served a little later
  ! kubectl get --raw "$collection" >/dev/null 2>&1 || break
  sleep 0.5
done
kubectl get --raw "$collection" >/dev/null

# The specs write through it, with the kubeconfig's credential; it lets nobody reach anything but their objects.
build/tools/kubectl proxy --port=0 --accept-paths="^$collection(/|\$)" >"$scratch/proxy" &
started+=($!)
for _ in {1..100}; do
  [ ! -s "$scratch/proxy" ] || break
  sleep 0.1
done
port=$(sed -n 's/^Starting to serve on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$scratch/proxy")

CLUSTER_NAMESPACE=$namespace CLUSTER_PORT=${port:?kubectl proxy does not start} \
  lua5.4 /usr/bin/busted "$@" "${specs[@]}" &
started+=($!)
wait $!
