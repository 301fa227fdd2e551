#!/bin/sh
# The first process of an emulated machine whose disk cannot be written: mounts what systemd and the services write to,
# has a service run a command, and becomes systemd, which boots as far as that service needs.
#
#   boot.sh RELEASE-FOLDER COMMAND...
set -eu
release=$1
shift

cp -a /etc /run/etc
mount --bind /run/etc /etc
for place in /opt /srv /var/lib /var/log /var/tmp; do
  mount -t tmpfs tmpfs "$place"
done
mkdir -p /opt/ballast/current
mount --bind "$release" /opt/ballast/current

cat >/etc/systemd/system/trial.service <<END
[Unit]
After=sysinit.target
SuccessAction=poweroff-immediate
FailureAction=poweroff-immediate

[Service]
Type=oneshot
WorkingDirectory=$PWD
Environment=HOME=/root LANG=C.UTF-8
ExecStart=$*
END

# Not one of a container, whatever files of the machine say so: it would leave out mounts.
export container=
exec /lib/systemd/systemd --system --show-status=no --unit=trial.service
