#!/bin/sh
# Starts a Ceph object gateway of one monitor and one store in memory, on the loopback, as whoever calls.
# Usage: start_ceph.sh FOLDER PORT. Process ids are in FOLDER/run/*.pid; access key `testing`, secret `testing`.
set -eu
folder=$1 port=$2
monitor=$((port + 1))
id=$(cat /proc/sys/kernel/random/uuid)
mkdir -p "$folder/mon" "$folder/osd" "$folder/run" "$folder/log"
cat > "$folder/ceph.conf" <<END
[global]
fsid = $id
mon host = v1:127.0.0.1:$monitor
public addr = 127.0.0.1
cluster addr = 127.0.0.1
# A machine without IPv6 would let the store wait for ever.
ms bind ipv4 = true
ms bind ipv6 = false
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
mon client hunt interval = 1
keyring = $folder/keyring
run dir = $folder/run
pid file = $folder/run/\$name.pid
admin socket = $folder/run/\$name.asok
log file = $folder/log/\$name.log
mon data = $folder/mon
mon data avail crit = 1
mon allow pool size one = true
osd data = $folder/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw enable gc threads = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw run sync thread = false
rgw dynamic resharding = false
END
until_ready() { # tries for a minute
  for _ in $(seq 300); do
    if "$@"; then return; fi
    sleep 0.2
  done
  return 1
}
config="--conf $folder/ceph.conf"
monmaptool --create --addv a "[v1:127.0.0.1:$monitor]" --fsid "$id" "$folder/monmap"
ceph-mon $config --mkfs --id a --monmap "$folder/monmap"
ceph-mon $config --id a
until_ready ceph $config osd create
ceph-osd $config --id 0 --mkfs
# Who asks before it was told the cluster's id is refused.
until_ready ceph-osd $config --id 0
until_ready ceph $config osd crush add osd.0 1.0 root=default host=localhost
radosgw $config --name client.rgw
until_ready curl --silent --output /dev/null "http://127.0.0.1:$port/"
until_ready radosgw-admin $config --name client.rgw user create --uid testing --display-name testing \
  --access-key testing --secret-key testing
