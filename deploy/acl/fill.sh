#!/bin/sh
# Writes an ACL file without comments and with the hash of each user's password.
# usage: fill.sh TEMPLATE FOLDER [TARGET]
# TARGET is replaced only when every password was read, and only its owner may read it. Without TARGET the file is printed.
# The file FOLDER/<user>-password holds the password of <user> in one line, as the services read it.
set -eu
template=$1 folder=$2 target=${3-}

refuse() {
    echo "fill.sh: $1" >&2
    exit 1
}

script=
for user in $(sed -n 's/^user .*#{\([a-z-]*\)}.*/\1/p' "$template"); do
    file=$folder/$user-password
    [ -r "$file" ] || refuse "$file cannot be read"
    password=$(cat "$file")
    [ -n "$password" ] || refuse "$file is empty"
    [ "$(printf '%s\n' "$password" | wc -l)" -eq 1 ] || refuse "$file has more than one line"
    hash=$(printf '%s' "$password" | sha256sum | cut -d ' ' -f 1)
    script="$script;s/#{$user}/#$hash/"
done
[ -n "$script" ] || refuse "$template names no user with a placeholder"
users=$(sed -e '/^#/d' -e '/^$/d' -e "${script#;}" "$template")
if [ -z "$target" ]; then
    printf '%s\n' "$users"
else
    umask 077
    printf '%s\n' "$users" > "$target.new"
    mv "$target.new" "$target"
fi
