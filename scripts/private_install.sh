#!/bin/bash
# usage: private_install.sh TREE [MAKE-ARGUMENT...]
#
# Builds the extension and installs it into a PostgreSQL of its own below TREE, the system's one staying as it is. Prints
# the directory of its programs.
#
# PostgreSQL finds its files relative to the program that runs, when the whole tree has moved. So TREE gets
# copies of the programs and links to everything else, laid out as the installed tree is.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
tree=$1
shift
config=${PG_CONFIG:-pg_config}

bin=$("$config" --bindir)
library=$("$config" --pkglibdir)
share=$("$config" --sharedir)

# What the paths of an installation have in common is what moves: /usr of /usr/lib/postgresql/15/bin and /usr/share/....
common=$bin
for path in "$library" "$share"; do
	while [ "${path#"$common"/}" = "$path" ]; do
		common=$(dirname "$common")
	done
done
[ "$common" = / ] && common=
moved()
{
	printf '%s%s\n' "$tree" "${1#"$common"}"
}

# Links what a directory holds, but for the one name that is a directory of the tree's own: `make install` writes there.
link_directory()
{
	mkdir -p "$2${3:+/$3}"
	find "$1" -mindepth 1 -maxdepth 1 ! -name "${3:-}" -exec ln -sfn -t "$2" {} +
}

mkdir -p "$tree"
tree=$(cd "$tree" && pwd)
cmp -s "$bin/postgres" "$(moved "$bin")/postgres" || { mkdir -p "$(moved "$bin")" && cp -fL "$bin"/* "$(moved "$bin")/"; }
link_directory "$library" "$(moved "$library")" bitcode
link_directory "$share" "$(moved "$share")" extension
link_directory "$share/extension" "$(moved "$share")/extension"

make -C "$top" -s -j "$(nproc)" PG_CONFIG="$config" "$@" >&2
make -C "$top" -s install PG_CONFIG="$config" pkglibdir="$(moved "$library")" datadir="$(moved "$share")" bindir="$(moved "$bin")" "$@" >"$tree/install.log" 2>&1 ||
	{ cat "$tree/install.log" >&2; exit 1; }
moved "$bin"
