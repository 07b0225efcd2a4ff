#!/bin/bash
# usage: scripts/demo.sh [run | psql [ARGUMENT...] | stop | delete]
#
# Builds dicom_fdw, starts a throw-away PostgreSQL with it, and shows the DICOM files that the package python3-pydicom
# brings along as tables; then a pipeline makes de-identified tables and pictures of them. Needs root or sudo only to install
# missing packages. Everything it makes is below one directory, which it names in the end; the server listens on a Unix socket there
# and nowhere else.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
action=${1:-run}

case $action in
	run) . scripts/setup.sh demo ;;
	psql | stop | delete) shift ;;
	*) sed -n 's/^# usage: //p' "$0" >&2; exit 2 ;;
esac

. scripts/unprivileged.sh
hand_over_to_sudo_caller "$top/scripts/demo.sh" "$action" "$@"
choose_user

export DICOM_FDW_PORT=5432
work=$(work_directory "$top/build/demo")
tree=$work/postgresql
bin=$tree/$(cat "$work/bin" 2>/dev/null || true)
client=("$bin/psql" -X -h "$work" -p $DICOM_FDW_PORT -U postgres -d demo)

# The user who runs the server may be unable to enter the clone.
pg_ctl()
{
	(cd "$work" && as_user "$bin/pg_ctl" -D "$work/data" -s -w "$@")
}

stop_server()
{
	[ ! -f "$work/data/postmaster.pid" ] || pg_ctl -m fast stop
}

start_server()
{
	rm -rf "$work/data"
	as_user "$bin/initdb" -D "$work/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$work/initdb.log" 2>&1 ||
		{ cat "$work/initdb.log" >&2; return 1; }
	cat >>"$work/data/postgresql.conf" <<-END
		listen_addresses = ''
		port = $DICOM_FDW_PORT
		unix_socket_directories = '$work'
		fsync = off
		lc_messages = 'C'
		dicom_fdw.key_file = '$work/keys'
	END
	# A key of the demonstration's own, made anew: pseudonyms differ each time.
	printf '1 %s\n' "$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')" | as_user sh -c "umask 077; cat >'$work/keys'"
	rm -rf "$work/stage"
	as_user mkdir -p "$work/stage"
	pg_ctl -l "$work/server.log" start || { cat "$work/server.log" >&2; return 1; }
	"$bin/createdb" -h "$work" -p $DICOM_FDW_PORT -U postgres demo
}

# Where the package keeps its sample files: Debian's place, or wherever Python looks for packages here.
sample_files()
{
	local debian=/usr/lib/python3/dist-packages/pydicom/data

	if [ -d $debian ]; then
		echo $debian
	else
		python3 -c 'import os, pydicom.data; print(os.path.dirname(pydicom.data.__file__))'
	fi
}

case $action in
	psql)
		[ -f "$work/data/postmaster.pid" ] || { echo "the demonstration's server does not run: call scripts/demo.sh" >&2; exit 1; }
		exec "${client[@]}" "$@"
		;;
	stop) stop_server; exit ;;
	delete) stop_server; rm -rf "$work"; exit ;;
esac

echo "building ..."
installed=$(scripts/private_install.sh "$tree")
printf '%s' "${installed#"$tree/"}" >"$work/bin"
bin=$installed
client[0]=$bin/psql
stop_server
start_server

files=$(sample_files)
"${client[@]}" -q -v ON_ERROR_STOP=1 -v files="$files" -v stage="$work/stage" -v sheet="$work/contact_sheet.jpg" -f scripts/demo.sql

cat <<END

Look at $work/contact_sheet.jpg, and at the pictures below $work/stage.
The server is still running, below $work:
	scripts/demo.sh psql		opens psql on it (${client[*]})
	scripts/demo.sh stop		stops it
	scripts/demo.sh delete		stops it and deletes what it made
END
