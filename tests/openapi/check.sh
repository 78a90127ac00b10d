#!/usr/bin/env bash
# Sends property-based requests, right and wrong ones, to a running program and holds every answer against the description
# that the program gives of itself at /api/v2/openapi.json.
#
#   tests/openapi/check.sh http://127.0.0.1:18088
#
# It changes settings: point it at `twcmanager demo`, never at a house. The requests are the same every time (fixed seed).
# Left out is /api/v2/events, an answer without an end; `changes_arrive_at_every_client_over_real_connections` holds it.
set -euo pipefail
base=${1:?address of a running demo, such as http://127.0.0.1:18088}
here=$(cd "$(dirname "$0")" && pwd)

wanted=$(sed -n 's/^schemathesis==//p' "$here/requirements.txt")
found=$(python3 -c 'import importlib.metadata as m; print(m.version("schemathesis"))' 2>/dev/null || true)
if [ "$found" != "$wanted" ]; then
    echo "schemathesis $wanted is not here (found: ${found:-none}): the description is not checked against the program." \
        "pip install -r tests/openapi/requirements.txt brings it"
    exit 0
fi

# In a folder of its own, for it leaves notes where it runs; with an empty configuration file, for none from the folders
# above shall change the run.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
touch empty.toml
python3 -m schemathesis.cli --config-file empty.toml run "$base/api/v2/openapi.json" \
    --checks all --seed 20261121 --max-examples 25 --workers 1 --exclude-path /api/v2/events \
    --request-timeout 10 --continue-on-failure --no-shrink --warnings off
