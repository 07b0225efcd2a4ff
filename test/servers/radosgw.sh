#!/bin/bash
# radosgw.sh DIRECTORY PORT: an S3 server of one node (Ceph's radosgw, objects in memory) on 127.0.0.1.
#
# Uses PORT (http), PORT+1 (monitor) and PORT+2 (https). Returns when S3 answers, and prints what a client needs to know.
# DIRECTORY must be new; its *.pid files name the processes to end.
#
#   RGW_TLS_PEM   certificate and key in one file: https as well
#   RGW_STS=true  temporary credentials, from the role arn:aws:iam:::role/reader
#   RGW_EXTRA     more lines of configuration
#
# Exits with 77 where the packages are missing: radosgw ceph-mon ceph-osd.
set -euo pipefail

directory=$1
port=$2
classes=$(find /usr/lib* -maxdepth 2 -type d -name rados-classes -print -quit 2>/dev/null || true)
access_key=testaccesskey
secret_key=testsecretkey0123456789

for program in radosgw radosgw-admin ceph ceph-mon ceph-osd monmaptool; do
	command -v $program >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done

mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
mkdir -p "$directory"/{mon,osd,run,log}
export CEPH_CONF=$directory/ceph.conf
cluster=$(cat /proc/sys/kernel/random/uuid)
: >"$directory/keyring"

write_configuration() {
	cat >"$CEPH_CONF" <<-END
	[global]
	fsid = $cluster
	mon_host = [v2:127.0.0.1:$((port + 1))/0]
	ms_bind_msgr1 = false
	ms_bind_ipv6 = false
	ms_mon_client_mode = crc secure
	public_addr = 127.0.0.1
	public_network = 127.0.0.0/8
	cluster_network = 127.0.0.0/8
	auth_cluster_required = none
	auth_service_required = none
	auth_client_required = none
	keyring = $directory/keyring
	run_dir = $directory/run
	admin_socket = $directory/run/\$name.asok
	log_file = $directory/log/\$name.log
	pid_file =
	mon_data = $directory/mon
	osd_data = $directory/osd
	osd_objectstore = memstore
	memstore_device_bytes = 8589934592
	osd_max_object_name_len = 2048
	osd_pool_default_size = 1
	osd_pool_default_min_size = 1
	osd_pool_default_pg_num = 4
	osd_pool_default_pgp_num = 4
	osd_pool_default_pg_autoscale_mode = off
	osd_crush_chooseleaf_type = 0
	osd_class_dir = $classes
	osd_class_load_list = *
	osd_class_default_list = *
	mon_allow_pool_size_one = true
	mon_max_pg_per_osd = 1000
	mon_data_avail_crit = 1
	mon_data_avail_warn = 2
	mon_tick_interval = 1
	mon_osd_prime_pg_temp = false
	paxos_propose_interval = 0.05
	paxos_min_wait = 0.02
	debug_ms = 0/0
	debug_mon = 0/0
	debug_osd = 0/0
	debug_paxos = 0/0
	[client.rgw]
	rgw_frontends = beast endpoint=127.0.0.1:$port${RGW_TLS_PEM:+ ssl_endpoint=127.0.0.1:$((port + 2)) ssl_certificate=$RGW_TLS_PEM}
	rgw_dns_name = localhost
	rgw_s3_auth_use_sts = ${RGW_STS:-false}
	rgw_sts_key = abcdefghijklmnop
	rgw_thread_pool_size = 64
	rgw_num_rados_handles = 1
	rgw_enable_usage_log = false
	rgw_enable_ops_log = false
	rgw_run_sync_thread = false
	${RGW_EXTRA:-}
	END
}

# daemon NAME COMMAND...: in the background, in a session of its own
daemon() {
	local name=$1
	shift
	setsid "$@" >"$directory/log/$name.out" 2>&1 </dev/null &
	echo $! >"$directory/$name.pid"
}

# wait_for SECONDS COMMAND...
wait_for() {
	local tries=$(($1 * 10))
	shift
	while ! "$@" >/dev/null 2>&1; do
		((tries-- > 0)) || { echo "$1 did not come up; see $directory/log" >&2; exit 1; }
		sleep .1
	done
}

osd_is_up() {
	ceph --connect-timeout 10 osd stat | grep -q ' 1 up'
}

start_cluster() {
	local osd
	monmaptool --create --clobber --addv a "[v2:127.0.0.1:$((port + 1))]" --fsid "$cluster" "$directory/monmap"
	ceph-mon --mkfs -i a --monmap "$directory/monmap"
	daemon mon ceph-mon -f -i a --public-addr "127.0.0.1:$((port + 1))"
	osd=$(cat /proc/sys/kernel/random/uuid)
	ceph --connect-timeout 20 osd new "$osd"
	ceph-osd --mkfs -i 0 --osd-uuid "$osd"
	daemon osd ceph-osd -f -i 0
	wait_for 20 osd_is_up
}

add_storage_classes() {
	local class
	for class in STANDARD_IA GLACIER; do
		radosgw-admin zonegroup placement add --rgw-zonegroup=default --placement-id=default-placement --storage-class=$class
		radosgw-admin zone placement add --rgw-zone=default --placement-id=default-placement --storage-class=$class \
			--data-pool=default.rgw.buckets.data
	done
}

add_role() {
	radosgw-admin role create --role-name=reader --assume-role-policy-doc='{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/test"]},"Action":["sts:AssumeRole"]}]}'
	radosgw-admin role-policy put --role-name=reader --policy-name=all --policy-doc='{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:*"],"Resource":"arn:aws:s3:::*"}]}'
}

write_configuration
start_cluster >"$directory/log/start.out" 2>&1
{
	radosgw-admin user create --uid=test --display-name=test --access-key=$access_key --secret-key=$secret_key --caps='roles=*'
	add_storage_classes
	if [ "${RGW_STS:-false}" = true ]; then add_role; fi
} >>"$directory/log/start.out" 2>&1
daemon rgw radosgw -f -n client.rgw
wait_for 30 curl -s -o /dev/null --noproxy '*' "http://127.0.0.1:$port/"
echo "endpoint=http://127.0.0.1:$port"
echo "access_key_id=$access_key"
echo "secret_access_key=$secret_key"
