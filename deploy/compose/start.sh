#!/bin/sh
# Starts a server inside its container: fills in the users' passwords, then runs the entry point of the image.
# usage: start.sh cache|state
set -eu
role=$1
sh /etc/twinstore/fill.sh "/etc/twinstore/$role.acl" /run/secrets > /run/twinstore/users.acl
# The services reach the server through the network of the containers; no port is published.
exec docker-entrypoint.sh valkey-server "/etc/twinstore/$role.conf" \
    --bind '* -::*' --dir /data --aclfile /run/twinstore/users.acl
