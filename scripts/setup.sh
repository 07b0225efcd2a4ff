# Installs what building, the demonstration and the tests need, with apt, and only what is missing.
#	. scripts/setup.sh demo		what it takes to build and to show
#	. scripts/setup.sh test		and what the tests use besides
#	. scripts/setup.sh bench	and the peers that the benchmarks measure against
# Needs root or sudo where something is missing, and nothing where all is there. Services of freshly installed packages are
# not started. On systems without apt it only says what it would have looked for.

# PostgreSQL counts as there when a server and what extensions are built with stand side by side, of whatever version.
postgresql_is_there()
{
	local config=${PG_CONFIG:-pg_config}

	command -v "$config" >/dev/null && [ -f "$("$config" --pgxs)" ] && [ -x "$("$config" --bindir)/postgres" ]
}

missing_packages()
{
	local installed

	# It fails for a package it does not know, having told of the others.
	# shellcheck disable=SC2016
	installed=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' "$@" 2>/dev/null | awk '$2 == "ii" { print $1 }') || true
	printf '%s\n' "$@" | grep -vxF -e "$installed" || true
}

can_be_root()
{
	[ "$(id -u)" != 0 ] || return 0
	command -v sudo >/dev/null || { echo "packages are missing ($*): run this as root, or install sudo" >&2; return 1; }
	sudo -n true 2>/dev/null || echo "sudo may ask for your password, to install packages"
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# apt-get install, with a policy in place that keeps the packages' services from starting.
install_packages()
{
	local policy=/usr/sbin/policy-rc.d status=0

	echo "installing: $*"
	as_root sh -c '
		policy=$1; shift
		[ -e "$policy" ] || { printf "#!/bin/sh\nexit 101\n" >"$policy"; chmod 755 "$policy"; trap "rm -f $policy" EXIT; }
		DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
	' sh "$policy" "$@" >"$setup_log" 2>&1 || status=$?
	[ $status = 0 ] || { tail -n 30 "$setup_log"; echo "apt-get install failed" >&2; }
	return $status
}

refresh_package_list()
{
	[ -n "${setup_refreshed:-}" ] || as_root apt-get update -q >"$setup_log" 2>&1 || { cat "$setup_log"; return 1; }
	setup_refreshed=1
}

# The major version that the package postgresql stands for here.
default_postgresql()
{
	apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1
}

setup()
{
	local packages=(build-essential pkg-config libcurl4-openssl-dev libssl-dev libexpat1-dev libicu-dev libjansson-dev zlib1g-dev
		libzstd-dev libsnappy-dev libxxhash-dev libdcmtk-dev libcharls-dev libopenjp2-7-dev libjxl-dev libjpeg62-turbo-dev
		libseccomp-dev python3 python3-pydicom ca-certificates)
	local missing version

	if [ "$1" != demo ]; then
		packages+=(clang libclang-rt-dev llvm clang-format clang-tidy cppcheck perl dcmtk curl openssl
			radosgw ceph-mon ceph-osd swift-proxy swift-account swift-container swift-object
			git procps strace python3-numpy nodejs libopenjp2-tools libjxl-tools)
	fi
	[ "$1" != bench ] || packages+=(python3-opencv python3-boto3 orthanc)

	if ! command -v apt-get >/dev/null; then
		postgresql_is_there || { echo "no apt here, and no PostgreSQL to build for (set PG_CONFIG)" >&2; return 1; }
		echo "no apt here: taking it that these, or what they stand for, are installed: ${packages[*]}"
		return 0
	fi

	setup_log=$(mktemp)
	mapfile -t missing < <(missing_packages "${packages[@]}")
	if ! postgresql_is_there; then
		can_be_root "${missing[@]}" postgresql && refresh_package_list || return 1
		version=$(default_postgresql)
		missing+=("postgresql-$version" "postgresql-server-dev-$version")
	fi
	if [ ${#missing[@]} -gt 0 ]; then
		can_be_root "${missing[@]}" && refresh_package_list && install_packages "${missing[@]}" || return 1
	fi
	if [ "$1" != demo ]; then
		# pgTAP and pg_cron are packaged per version of the packaged server, known only now.
		version=$(${PG_CONFIG:-pg_config} --bindir | sed -n 's|^/usr/lib/postgresql/\([0-9]*\)/bin$|\1|p')
		missing=()
		[ -z "$version" ] || mapfile -t missing < <(missing_packages "postgresql-$version-pgtap" "postgresql-$version-cron")
		if [ ${#missing[@]} -gt 0 ]; then
			can_be_root "${missing[@]}" && refresh_package_list && install_packages "${missing[@]}" || return 1
		fi
	fi
	rm -f "$setup_log"
}

setup "${1:-demo}"
