#!/bin/sh
# Installs what Ballast needs and is missing here: Debian packages, npm packages, BPF objects, GoBGP's interface.
#
#   setup.sh [check|test|kernels|compare]    also what `npm run check`, `npm test`, `npm run test:kernels` and
#                                            `npm run bench:compare` need
#
# npm runs it before the scripts that need it (package.json, pre…). It is a step of its own, since a shell
# that found the old `node` once keeps it. Says on stderr what it does; says nothing when there is nothing to do.
set -eu
cd "$(dirname "$0")/../.."
PATH="$PATH:/usr/sbin:/sbin"

say() { printf 'ballast set-up: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

have_clang() { have clang-19 || have clang; }

have_libbpf() {
  for library in /usr/lib/*/libbpf.so.1 /usr/lib/libbpf.so.1 /usr/lib64/libbpf.so.1; do
    [ ! -e "$library" ] || return 0
  done
  return 1
}

# The kernels that are booted; the packages are for this processor alone.
guest_kernels() {
  [ "$(uname -m)" = x86_64 ] || return 0
  case $want in
    test | compare) echo 6.1 ;;
    kernels) echo 5.10 6.1 6.12 ;;
  esac
}

wants_guest() { [ -n "$(guest_kernels)" ]; }

missing_packages() {
  have redis-server || echo redis-server
  have git || echo git
  have ssh || echo openssh-client
  have gpg || echo gnupg
  have make || echo make
  have ip || echo iproute2
  have ethtool || echo ethtool
  have bpftool || echo bpftool
  have bird || echo bird2
  have nft || echo nftables
  have_clang || echo clang-19
  { have_libbpf && [ -e /usr/include/bpf/bpf_helpers.h ]; } || echo libbpf-dev
  # Tests speak to a real sshd, and over TLS with certificates of their own.
  [ "$want" != test ] || have sshd || echo openssh-server
  [ "$want" != test ] || have openssl || echo openssl
  # Drift is told to a real one.
  [ "$want" != test ] || have prometheus-alertmanager || echo prometheus-alertmanager
  # Checks the units of a release; it is not started where it does not run.
  [ "$want" != test ] || have systemd-analyze || echo systemd
  # A kernel with IPVS, to run its driver in: this one may lack it.
  [ "$want" != test ] || have ipvsadm || echo ipvsadm
  [ "$want" != test ] || have linux.uml || echo user-mode-linux
  [ "$want" != test ] || have modprobe || echo kmod
  # Kernels of Debian, emulated.
  ! wants_guest || have qemu-system-x86_64 || echo qemu-system-x86
  ! wants_guest || have cpio || echo cpio
  ! wants_guest || have depmod || echo kmod
  # The other BGP daemon.
  [ "$want" != test ] || have gobgpd || echo gobgpd
  [ "$want" != compare ] || have iptables-legacy || echo iptables
  [ "$want" != compare ] || have ipvsadm || echo ipvsadm
  [ "$want" != check ] || have clang-format-19 || echo clang-format-19
  # What is committed as WebAssembly is compared with what these make.
  [ "$want" != check ] || have clang-19 || echo clang-19
  [ "$want" != check ] || have wasm-ld-19 || echo lld-19
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

can_be_root() {
  [ "$(id -u)" = 0 ] || { have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }
}

# Says nothing unless it fails. RUNLEVEL: without systemd, no package starts a daemon in runlevel 1.
apt() {
  output=$(as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" 2>&1) || {
    printf '%s\n' "$output" >&2
    say "apt-get $1 failed, as said above. Install by hand what is named there, then run this again."
    exit 1
  }
}

install_packages() {
  say "installing the Debian packages $* (a minute or so)"
  apt update
  apt install --no-install-recommends -y "$@"
  # Ballast runs Redis, tests run BIRD, GoBGP and sshd, as children of their own; the services that the packages bring are not wanted.
  [ -d /run/systemd/system ] || return 0
  case " $* " in *' redis-server '*) as_root systemctl disable --quiet --now redis-server.service || true ;; esac
  case " $* " in *' bird2 '*) as_root systemctl disable --quiet --now bird.service || true ;; esac
  case " $* " in *' gobgpd '*) as_root systemctl disable --quiet --now gobgpd.service || true ;; esac
  case " $* " in *' openssh-server '*) as_root systemctl disable --quiet --now ssh.service || true ;; esac
  case " $* " in *' prometheus-alertmanager '*) as_root systemctl disable --quiet --now prometheus-alertmanager.service || true ;; esac
}

set_up_packages() {
  packages=$(missing_packages | tr '\n' ' ')
  packages=${packages% }
  [ -n "$packages" ] || return 0
  if ! have apt-get; then
    say "no apt-get here. Install what Debian calls: $packages"
  elif can_be_root; then
    # shellcheck disable=SC2086
    install_packages $packages
  else
    say "missing, and only root may install them: $packages"
    say "without them the XDP dataplane, the lab and their tests cannot run. As root: apt-get install $packages"
  fi
}

# The definitions of GoBGP's interface, out of the package that has them: not installed, since it asks for 60 others.
set_up_gobgp_api() {
  package=golang-github-osrg-gobgp-dev
  [ ! -e "$GOBGP_API/gobgp.proto" ] || return 0
  if ! have apt-get || ! have dpkg-deb; then
    say "no apt-get here: without *.proto of GoBGP 3 in $GOBGP_API, Ballast does not speak to GoBGP"
    return 0
  fi
  say 'fetching the definitions of the interface of GoBGP'
  folder=$(mktemp -d)
  (
    cd "$folder"
    apt-get -qq download $package 2>/dev/null || { can_be_root && apt update && apt-get -qq download $package 2>/dev/null; }
  ) || {
    rm -r "$folder"
    say "apt-get download $package failed: Ballast does not speak to GoBGP until it works"
    return 0
  }
  dpkg-deb --extract "$folder"/$package*.deb "$folder/files"
  mkdir -p "$GOBGP_API"
  cp "$folder"/files/usr/share/gocode/src/github.com/osrg/gobgp/api/*.proto "$GOBGP_API"
  chmod 644 "$GOBGP_API"/*.proto
  rm -r "$folder"
}

set_up_npm() {
  installed=node_modules/.package-lock.json
  if [ ! -e "$installed" ] || [ -n "$(find package-lock.json -newer "$installed")" ]; then
    say 'installing the npm packages'
    # Not `npm ci`: it refuses when a registry lacks a package of another platform. No package needs its install script.
    npm install --ignore-scripts --no-audit --no-fund --no-progress --loglevel=error >&2
    touch "$installed"
  fi
  if [ ! -e node_modules/.bin/node ] && ! node --eval 'process.exit(Number(process.versions.node.split(".")[0]) < 24)'; then
    say "npm has no Node 24 for this platform, and $(command -v node) is $(node --version). Install Node 24 or newer."
    exit 1
  fi
}

set_up_bpf() {
  if have make && have_clang; then
    make -s -C bpf >&2
  else
    say 'no clang or make: the BPF objects are not built'
  fi
}

set_up_guests() {
  for kernel in $(guest_kernels); do
    if have apt-get && have depmod; then
      sh reconciler/setup/guest-kernel.sh "$kernel" || say "tests that need Linux $kernel are skipped"
    fi
  done
}

want=${1:-}
GOBGP_API=reconciler/drivers/bgp/gobgp/api
set_up_packages
set_up_gobgp_api
set_up_npm
set_up_bpf
set_up_guests
