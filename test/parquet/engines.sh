#!/bin/bash
# usage: engines.sh DIRECTORY
#
# Brings the two engines that read our Parquet files in the tests, DuckDB and hyparquet, from npm's registry into
# DIRECTORY/node_modules: packages of just these contents, and nothing else; beside them, the programs of the tests. What is there is not fetched
# again. Tests may call this side by side.
set -euo pipefail
modules=$1/node_modules
programs=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$modules"
exec 9>"$1/lock"
flock 9
registry=${NPM_REGISTRY:-https://registry.npmjs.org}

case $(uname -m) in
	x86_64) platform="node-bindings-linux-x64 IXcrZJE6kEqM0Z4wwdVnGBHX/frOS33VPNAwDXQ/Q+Fs84b058Qe94chrCCIcNJlG8Y3UHIUU4eBeCQxW5mN1Q==" ;;
	*) echo "DuckDB's binary is fetched for x86_64 only" >&2; exit 1 ;;
esac

fetch()
{
	local name=$1 version=$2 sum=$3 target=$modules/$1 archive

	[ ! -f "$target/.version" ] || [ "$(cat "$target/.version")" != "$version" ] || return 0
	archive=$(mktemp "$modules/archive.XXXXXX")
	curl -sSf --retry 3 --max-time 300 -o "$archive" "$registry/$name/-/${name##*/}-$version.tgz"
	[ "$(openssl dgst -sha512 -binary "$archive" | base64 -w 0)" = "$sum" ] ||
		{ echo "$name $version is not what it was" >&2; rm -f "$archive"; return 1; }
	rm -rf "$target"
	mkdir -p "$target"
	tar -xzf "$archive" -C "$target" --strip-components=1 --no-same-owner
	rm -f "$archive"
	printf '%s\n' "$version" >"$target/.version"
}

fetch @duckdb/node-api 1.5.6-r.1 yIPol6P4EQmsAUsb27donJf7iADrM31Ei/WkvhkZpSscjhEErYsuF19lsJ/qz5mUWxsKFQpLdjvrlhPQnMTBqw==
fetch @duckdb/node-bindings 1.5.6-r.1 /pWlTyvKC1d16iSMJCBAPwlmzoeXRs5Y9cqG+TpKd/YAW6Ke05FJg099v/Im2bkS9BgznNyNcAK1NxA1eQhSUw==
fetch "@duckdb/${platform% *}" 1.5.6-r.1 "${platform#* }"
fetch detect-libc 2.1.2 Btj2BOOO83o3WyH59e8MgXsxEQVcarkUOpEYrubB0urwnN10yQ364rsiByU11nZlqWYZm05i/of7io4mzihBtQ==
fetch hyparquet 1.31.5 KPVfaxW8xOiO2/4fjeiBfFNEXhGVw9tfcb9ha2iNZdJ3J/yBjEwIeAnTyyuhllFFTb9YO9wg0DfRAOnm6KCvBg==
fetch hyparquet-compressors 1.1.2 0Hx6w0ZpVpNCefKy5xBYLTp6rKeZn/tsUzuliNzfKqSCdLcTQSfwATEoeedS703Y17k1qNS61HwRME5aOeNkPg==
fetch fzstd 0.1.1 dkuVSOKKwh3eas5VkJy1AW1vFpet8TA/fGmVA5krThl8YcOVE/8ZIoEA1+U1vEn5ckxxhLirSdY837azmbaNHA==
fetch hysnappy 1.1.1 /V9XcN2NtRyWjR4LYMfvnvasVVF8jbT/ej0eofBQjZel91E3D813FQ3mQC6gDSMMTCq/FJh28XHeyqr3I/oBRw==

for program in "$programs"/*.mjs; do
	cmp -s "$program" "$1/${program##*/}" || cp "$program" "$1/"
done
