#!/bin/sh
# Starts a node of a cluster inside its container. It announces the name of its container.
# usage: start-node.sh NAME
set -eu
name=$1
umask 077
sh /etc/twinstore/fill.sh /etc/twinstore/state.acl /run/secrets > /run/twinstore/users.acl
# Replicas log in at their primaries as the user `replication`.
password=$(cat /run/secrets/replication-password)
hash=$(printf '%s' "$password" | sha256sum | cut -d ' ' -f 1)
echo "user replication on #$hash resetchannels -@all +psync +replconf +ping" >> /run/twinstore/users.acl
printf 'masteruser replication\nmasterauth %s\n' "$password" > /run/twinstore/replication.conf
# The services reach the node through the network of the containers; no port is published.
exec docker-entrypoint.sh valkey-server /etc/twinstore/state.conf \
    --include /etc/twinstore/cluster.conf --include /run/twinstore/replication.conf \
    --bind '* -::*' --dir /data --aclfile /run/twinstore/users.acl --cluster-announce-hostname "$name"
