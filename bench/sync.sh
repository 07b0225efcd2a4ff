#!/bin/bash
# usage: bench/sync.sh [OBJECTS [FILES [REPETITIONS]]]		(5000 objects in S3, 100000 local files, 5 repetitions)
#
# Measures dicom.sync():
#	- requests a second against radosgw, beside a bare curl_multi loop that fetches the same ranges of the same objects
#	- a large directory: all of it, again when nothing changed, and again when one file did; and the memory of the worker
# Prints the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. scripts/setup.sh test
. scripts/unprivileged.sh
hand_over_to_sudo_caller "$top/bench/sync.sh" "$@"
choose_user

work=$(work_directory "$top/build/bench")
chmod a+rx "$work"
export DICOM_TEST_TOP=$top DICOM_TEST_WORK=$work DICOM_TEST_BIN DICOM_TEST_CORPUS=
DICOM_TEST_BIN=$(scripts/private_install.sh "$work/postgresql")
make -s -C test tools
gcc -O2 -o "$work/curl_multi" bench/peers/curl_multi.c -lcurl

results=$(as_user env PERL5LIB="$top/test/lib" perl bench/sync.pl "${1:-5000}" "${2:-100000}" "${3:-5}")
printf '%s\n' "$results"

# The section of this benchmark is replaced; those of others stay.
touch bench/RESULTS.md
{
	sed '/^## Sync$/,/^## /{/^## Sync$/d;/^## /!d}' bench/RESULTS.md
	printf '## Sync\n\n%s\n\n' "$results"
} >build/RESULTS.md
mv build/RESULTS.md bench/RESULTS.md
