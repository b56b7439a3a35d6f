#!/usr/bin/env bash
# Landfall's plan beside Renovate's look-up: the same GitOps repository of 200 overlays, the same registry (Debian's
# docker-registry, in memory, on loopback) with 200 images of 200 tags, each run with an empty cache, in turns.
#
#   benches/renovate.sh [RUNS]          default 5
#
# Needs docker-registry, git, npm and /usr/bin/time. Renovate and the Node it wants are installed once below
# $RENOVATE_HOME (default: ~/.cache/landfall-bench/renovate).
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5}
images=${IMAGES:-200}
tags=${TAGS:-200}
renovate=${RENOVATE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/landfall-bench/renovate}
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
landfall=$target/release/landfall

if [ ! -x "$renovate/node_modules/.bin/renovate" ]; then
    mkdir -p "$renovate"
    (cd "$renovate" && npm install --no-audit --no-fund renovate@44.121.2 node@24)
fi
cargo bench --quiet --no-run --bench whole

world=$(mktemp -d)
registry=
trap '[ -z "$registry" ] || kill "$registry"; rm -rf "$world"' EXIT
cat > "$world/registry.yml" <<YAML
version: 0.1
storage: { inmemory: {}, delete: { enabled: true } }
http: { addr: 127.0.0.1:0 }
log: { accesslog: { disabled: true } }
YAML
docker-registry serve "$world/registry.yml" 2> "$world/registry.log" &
registry=$!
for _ in $(seq 100); do
    host=$(sed -n 's/.*listening on \(127[0-9.:]*\).*/\1/p' "$world/registry.log")
    [ -z "$host" ] || break
    sleep 0.1
done
[ -n "$host" ] || { cat "$world/registry.log"; exit 1; }

cargo bench --quiet --bench whole -- seed "$host" "$world" "$images" "$tags"
git -C "$world/checkout" init --quiet --initial-branch=main
git -C "$world/checkout" add -A
git -C "$world/checkout" -c user.name=Ada -c user.email=ada@example.com commit --quiet -m "what runs where"
git clone --quiet --bare "$world/checkout" "$world/deploys.git"

cat > "$world/config.js" <<JS
module.exports = {
  platform: 'local',
  dryRun: 'full',
  enabledManagers: ['kustomize'],
  prHourlyLimit: 0,
  hostRules: [
    // Looked up under its https name to learn that it is to be spoken to without TLS.
    { matchHost: 'https://$host', hostType: 'docker', insecureRegistry: true, allowInternal: true },
    { matchHost: 'http://$host', allowInternal: true },
  ],
};
JS

# Each prints: seconds of wall time, seconds of processor time, peak memory in MiB.
figures() { awk 'END { printf "%.2f %.2f %.0f\n", $1, $2 + $3, $4 / 1024 }' "$1"; }

run_renovate() {
    rm -rf "$world/renovate"
    (cd "$world/checkout" && PATH="$renovate/node_modules/.bin:$PATH" RENOVATE_BASE_DIR="$world/renovate" \
        RENOVATE_CONFIG_FILE="$world/config.js" LOG_LEVEL=debug LOG_FORMAT=json GIT_CONFIG_GLOBAL=/dev/null \
        /usr/bin/time -f '%e %U %S %M' -o "$world/figures" renovate > "$world/renovate.log")
    found=$(grep -o '"newVersion":"[^"]*"' "$world/renovate.log" | wc -l)
    [ "$found" -ge "$images" ] || { echo "Renovate found $found of $images updates: the comparison is void" >&2; return 1; }
    figures "$world/figures"
}

run_landfall() {
    rm -rf "$world/state"
    /usr/bin/time -f '%e %U %S %M' -o "$world/figures" "$landfall" plan -o json --config "$world/landfall.yaml" > "$world/plan"
    found=$(grep -c '"image":' "$world/plan")
    [ "$found" -ge "$images" ] || { echo "Landfall found $found of $images updates" >&2; return 1; }
    figures "$world/figures"
}

echo "          Renovate                    Landfall"
echo "run   wall s   cpu s  peak MiB    wall s   cpu s  peak MiB"
for run in $(seq "$runs"); do
    one=$(run_renovate)
    other=$(run_landfall)
    read -r a b c <<< "$one"
    read -r d e f <<< "$other"
    printf '%3d %8s %7s %9s  %8s %7s %9s\n' "$run" "$a" "$b" "$c" "$d" "$e" "$f"
done | tee "$world/table"
awk '{ print $2 / $5 }' "$world/table" | sort -g | awk '{ r[NR] = $1 } END { print "median ratio of wall times: " r[int((NR + 1) / 2)] }'
