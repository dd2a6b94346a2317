#!/usr/bin/env bash
# The README's two commands on another Python: in a root of Debian 13 (Python 3.13), made with debootstrap.
# usage: tests/other_python.sh [FOLDER]     FOLDER gets the root, 8 GB; a temporary one unless given
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
fail() { echo "error: $1" >&2; echo "  -> $2" >&2; exit 2; }
[ "$(id -u)" = 0 ] || fail "a root of another Debian can only be made by root" "run it with sudo"
command -v debootstrap >/dev/null || fail "debootstrap is not installed" "apt-get install debootstrap"

root=${1:-$(mktemp -d)}/debian13
unmount() { umount --lazy "$root/proc" "$root/dev" "$root/sys" 2>/dev/null || true; }
trap unmount EXIT
if [ ! -x "$root/usr/bin/python3" ]; then
    debootstrap --variant=minbase --include=python3,python3-venv,git,make,ca-certificates,locales-all trixie "$root"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"  # where joblib counts the cores
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"  # with those of this machine's own authorities
rm -rf "$root/project"
git clone --quiet "$project" "$root/project"

inside() { chroot "$root" env HOME=/root LC_ALL=C.UTF-8 bash -c "cd /project && $1"; }
inside "git config --global --add safe.directory '*'; python3 --version"
inside "make repro"
inside "git diff --exit-code -- mlartifacts data params.yaml dvc.yaml"
trained() { sed -n 's/.*"model_sha256": "\(.*\)".*/\1/p' "$1/mlartifacts/training/best_model_info.json"; }
if [ -f "$project/mlartifacts/training/best_model_info.json" ]; then
    [ "$(trained "$root/project")" = "$(trained "$project")" ] ||
        fail "the model's SHA-256 is $(trained "$root/project"), and $(trained "$project") in $project" "compare the environment.json of the two runs"
    echo "the model's SHA-256 is the same here and there: $(trained "$project")"
fi
inside "make test"
