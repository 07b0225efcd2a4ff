#!/bin/bash
# swift.sh DIRECTORY PORT: OpenStack Swift with its S3 face, one replica on one device, on 127.0.0.1.
#
# Uses PORT (proxy) to PORT+4. Returns when S3 answers, and prints what a client needs to know; buckets are made as containers of
# AUTH_test, with a token from /auth/v1.0. DIRECTORY must be new and allow user attributes; its *.pid files name the
# processes to end. Exits with 77 where the packages are missing: swift-proxy swift-account swift-container swift-object.
set -euo pipefail

directory=$1
port=$2
user=$(id -un)

for kind in proxy account container object; do
	command -v swift-$kind-server >/dev/null || { echo "skipped: swift-$kind is not installed"; exit 77; }
done

mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
mkdir -p "$directory"/{etc,dev/d1,cache,log}

port_of() {
	case $1 in
		proxy) echo "$port" ;;
		account) echo $((port + 1)) ;;
		container) echo $((port + 2)) ;;
		object) echo $((port + 3)) ;;
	esac
}

write_common() {
	cat >"$directory/etc/swift.conf" <<-END
	[swift-hash]
	swift_hash_path_prefix = dicom
	swift_hash_path_suffix = fdw
	[swift-constraints]
	max_object_name_length = 1024
	[storage-policy:0]
	name = only
	default = yes
	END
}

# write_backend account|container|object
write_backend() {
	cat >"$directory/etc/$1-server.conf" <<-END
	[DEFAULT]
	swift_dir = $directory/etc
	devices = $directory/dev
	mount_check = false
	bind_ip = 127.0.0.1
	bind_port = $(port_of "$1")
	user = $user
	workers = 1
	fallocate_reserve = 0
	log_level = WARNING
	log_address = $directory/log/none
	[pipeline:main]
	pipeline = $1-server
	[app:$1-server]
	use = egg:swift#$1
	replication_server = false
	[$1-replicator]
	recon_cache_path = $directory/cache
	END
}

write_proxy() {
	cat >"$directory/etc/proxy-server.conf" <<-END
	[DEFAULT]
	swift_dir = $directory/etc
	bind_ip = 127.0.0.1
	bind_port = $port
	workers = 1
	user = $user
	log_level = WARNING
	log_address = $directory/log/none
	[pipeline:main]
	pipeline = catch_errors cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes proxy-server
	[app:proxy-server]
	use = egg:swift#proxy
	allow_account_management = true
	account_autocreate = true
	[filter:catch_errors]
	use = egg:swift#catch_errors
	[filter:cache]
	use = egg:swift#memcache
	memcache_servers = 127.0.0.1:$((port + 4))
	[filter:listing_formats]
	use = egg:swift#listing_formats
	[filter:bulk]
	use = egg:swift#bulk
	[filter:s3api]
	use = egg:swift#s3api
	location = us-east-1
	s3_acl = false
	dns_compliant_bucket_names = true
	auth_pipeline_check = false
	allow_multipart_uploads = true
	max_bucket_listing = 1000
	[filter:tempauth]
	use = egg:swift#tempauth
	user_test_tester = testing .admin
	[filter:copy]
	use = egg:swift#copy
	[filter:slo]
	use = egg:swift#slo
	[filter:dlo]
	use = egg:swift#dlo
	[filter:versioned_writes]
	use = egg:swift#versioned_writes
	allow_versioned_writes = true
	END
}

# make_ring KIND: one device of weight one
make_ring() {
	/usr/bin/python3 - "$directory/etc/$1.ring.gz" "$(port_of "$1")" <<-'END'
	import sys
	from swift.common.ring import RingBuilder
	builder = RingBuilder(2, 1, 0)
	builder.add_dev({'id': 0, 'region': 1, 'zone': 1, 'weight': 1, 'device': 'd1', 'meta': '',
	                 'ip': '127.0.0.1', 'port': int(sys.argv[2]),
	                 'replication_ip': '127.0.0.1', 'replication_port': int(sys.argv[2])})
	builder.rebalance()
	builder.get_ring().save(sys.argv[1])
	END
}

# The servers look for /etc/swift/swift.conf unless told otherwise from within.
start_server() {
	setsid /usr/bin/python3 - "$directory/etc" "$1" >"$directory/log/$1.out" 2>&1 <<-'END' &
	import runpy, sys
	import swift.common.utils
	folder, kind = sys.argv[1:]
	swift.common.utils.SWIFT_CONF_FILE = folder + '/swift.conf'
	sys.argv = ['swift-%s-server' % kind, '%s/%s-server.conf' % (folder, kind)]
	runpy.run_path('/usr/bin/swift-%s-server' % kind, run_name='__main__')
	END
	echo $! >"$directory/$1.pid"
}

wait_for() {
	local tries=300
	until curl -s -o /dev/null --noproxy '*' "http://127.0.0.1:$(port_of "$1")/"; do
		((tries-- > 0)) || { echo "swift-$1-server did not come up; see $directory/log" >&2; exit 1; }
		sleep .1
	done
}

write_common
write_proxy
for kind in account container object; do
	write_backend $kind
	make_ring $kind >"$directory/log/ring.out" 2>&1
done
for kind in account container object proxy; do start_server $kind; done
for kind in account container object proxy; do wait_for $kind; done
echo "endpoint=http://127.0.0.1:$port"
echo "access_key_id=test:tester"
echo "secret_access_key=testing"
