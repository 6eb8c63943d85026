#!/bin/sh
# Creates a cluster of running nodes: the first half are primaries, the others their replicas. Does nothing if the cluster exists.
# usage: create-cluster.sh NODE…
set -eu
REDISCLI_AUTH=$(cat /run/secrets/admin-password)
export REDISCLI_AUTH
if valkey-cli --user admin -h "$1" cluster info | grep -q cluster_state:ok; then
    exit 0
fi
addresses=
for node in "$@"; do
    # CLUSTER MEET needs addresses. Later the nodes announce their names.
    addresses="$addresses $(getent hosts "$node" | cut -d ' ' -f 1):6379"
done
# shellcheck disable=SC2086
valkey-cli --user admin --cluster create $addresses --cluster-replicas 1 --cluster-yes
