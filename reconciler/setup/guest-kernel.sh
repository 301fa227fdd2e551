#!/bin/sh
# Fetches a kernel of Debian, to be booted in QEMU. Nothing is installed: what is needed of it lies in
# node_modules/.cache/guest/VERSION afterwards (boot/, lib/modules/, bin/busybox).
#
#   guest-kernel.sh 6.1|6.12|5.10
#
# Says nothing when it is there. A release of Debian that has no such kernel of its own is asked for in the place
# where this machine's packages come from.
set -eu
cd "$(dirname "$0")/../.."
PATH="$PATH:/usr/sbin:/sbin"

version=$1
place=$PWD/node_modules/.cache/guest/$version
# The last of what was added to what is taken of it.
if [ -e "$place/bin/busybox" ] && [ -n "$(find "$place/lib" -name virtio_net.ko)" ]; then exit 0; fi

say() { printf 'ballast set-up: %s\n' "$*" >&2; }

new=$place.$$
trap 'rm -rf "$new"' EXIT
mkdir -p "$new/apt/lists/partial" "$new/apt/archives/partial" "$new/bin"
say "fetching Linux $version of Debian (a minute or so)"

release() { . /etc/os-release && printf %s "$VERSION_CODENAME"; }

# Of the release that has the kernel: the same archives as this machine's, under another name.
sources() {
  for repository in $(apt-get indextargets --format '$(REPO_URI)|$(RELEASE)' 'Created-By: Packages' 'Component: main' | sort -u); do
    case ${repository#*|} in
      "$(release)" | "$(release)-security")
        printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' \
          "${repository%|*}" "$(printf %s "${repository#*|}" | sed "s/^$(release)/$1/")"
        ;;
    esac
  done
}

# apt-get and apt-cache with lists of their own, when the release is another one.
of_release() {
  tool=$1
  shift
  if [ -e "$new/apt/sources.list" ]; then
    set -- -o "Dir::Etc::SourceList=$new/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
      -o "Dir::State::Lists=$new/apt/lists" -o "Dir::Cache=$new/apt" -o APT::Sandbox::User=root "$@"
  fi
  "$tool" -qq "$@"
}

case $version in
  5.10) wants=bullseye meta=linux-image-amd64 ;;
  6.1) wants=bookworm meta=linux-image-amd64 ;;
  6.12) wants=bookworm meta=linux-image-6.12-amd64 ;;
  *)
    say "no Linux $version is known here: 5.10, 6.1, 6.12"
    exit 1
    ;;
esac
if [ "$(release)" != "$wants" ]; then
  sources "$wants" >"$new/apt/sources.list"
  of_release apt-get update
fi
package=$(of_release apt-cache depends "$meta" | sed -n "s/.*Depends: \(linux-image-$version[.].*\)/\1/p" | head -n 1)
if [ -z "$package" ]; then
  say "there is no Linux $version among the packages of $wants: apt-get update, then run this again"
  exit 1
fi
(cd "$new" && of_release apt-get download "$package" busybox-static 2>&1 | grep -v unsandboxed >&2 || true)

dpkg-deb --fsys-tarfile "$new"/busybox-static_*.deb | tar -xO ./bin/busybox >"$new/bin/busybox"
chmod 755 "$new/bin/busybox"
dpkg-deb --fsys-tarfile "$new"/linux-image-*.deb >"$new/image.tar"
# Networks, and what reads the files of the machine; the drivers of hardware are nine tenths of it.
tar -tf "$new/image.tar" |
  grep -E '^./(boot/vmlinuz|lib/modules/[^/]+/(modules|kernel/(arch|crypto|lib|net|fs/(9p|netfs|fscache|overlayfs)|drivers/(virtio|net/(veth|dummy|tun|virtio_net|net_failover)\.ko))))' |
  grep -v '/$' >"$new/wanted"
tar -xf "$new/image.tar" -C "$new" -T "$new/wanted"
find "$new/lib" -name '*.ko.xz' -exec xz -d {} +
depmod -b "$new" "$(ls "$new/lib/modules")"
rm -rf "$new"/*.deb "$new/image.tar" "$new/wanted" "$new/apt"
rm -rf "$place"
mv "$new" "$place"
