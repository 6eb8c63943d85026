#!/bin/sh
# Makes a random password for each user of compose.yaml and cluster.yaml, unless its file exists.
# usage: secrets.sh [FOLDER]; by default `secrets` beside this file, where the Compose files look for them
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
# Other users of this machine cannot reach the files; users inside the containers must be able to read them.
chmod 700 "$folder"
for name in cache-admin cache-app state-admin state-app state-replication; do
    file=$folder/$name-password
    [ -e "$file" ] || od -A n -N 32 -t x1 /dev/urandom | tr -d ' \n' > "$file"
    chmod 644 "$file"
done
