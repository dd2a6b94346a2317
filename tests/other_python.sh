#!/usr/bin/env bash
# Run `make repro` and `make test` on another Python: Python 3.13 in a Debian 13 root created with debootstrap.
# usage: tests/other_python.sh [FOLDER]     FOLDER (default: a temporary folder) receives the root, 8 GB
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
fail() { echo "error: $1" >&2; echo "  -> $2" >&2; exit 2; }
[ "$(id -u)" = 0 ] || fail "only root can create a Debian root" "run it with sudo"
command -v debootstrap >/dev/null || fail "debootstrap is not installed" "apt-get install debootstrap"

root=${1:-$(mktemp -d)}/debian13
unmount() { umount --lazy "$root/proc" "$root/dev" "$root/sys" 2>/dev/null || true; }
trap unmount EXIT
if [ ! -x "$root/usr/bin/python3" ]; then
    debootstrap --variant=minbase --include=python3,python3-venv,git,make,ca-certificates,locales-all trixie "$root"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"  # joblib counts the cores there
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"  # including local certificate authorities
rm -rf "$root/project"
git clone --quiet "$project" "$root/project"

inside() { chroot "$root" env HOME=/root LC_ALL=C.UTF-8 bash -c "cd /project && $1"; }
inside "git config --global --add safe.directory '*'; python3 --version"
inside "make repro"
inside "git diff --exit-code -- mlartifacts data params.yaml dvc.yaml"
model_sha256() { sed -n 's/.*"model_sha256": "\(.*\)".*/\1/p' "$1/mlartifacts/training/best_model_info.json"; }
if [ -f "$project/mlartifacts/training/best_model_info.json" ]; then
    [ "$(model_sha256 "$root/project")" = "$(model_sha256 "$project")" ] ||
        fail "the SHA-256 of the model is $(model_sha256 "$root/project"), but $(model_sha256 "$project") in $project" "compare the environment.json of the two runs"
    echo "the SHA-256 of the model is the same on both: $(model_sha256 "$project")"
fi
inside "make test"
