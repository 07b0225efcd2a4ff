#!/bin/bash
# usage: bench/scan.sh [FILES [REPETITIONS]]		(2000 files, 7 repetitions)
#
# Measures how fast headers are read:
#	- from a directory in the page cache, against DCMTK and pydicom reading the same ten attributes of the same files
#	- from S3 with 50 ms of latency a request, against the least that so many requests can take
# Every reader must give the same values, else this fails. Prints the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. scripts/setup.sh test
. scripts/unprivileged.sh
hand_over_to_sudo_caller "$top/bench/scan.sh" "$@"
choose_user

work=$(work_directory "$top/build/bench")
chmod a+rx "$work"
export DICOM_TEST_TOP=$top DICOM_TEST_WORK=$work DICOM_TEST_BIN DICOM_TEST_CORPUS=
DICOM_TEST_BIN=$(scripts/private_install.sh "$work/postgresql")
make -s -C test tools
g++ -std=c++17 -O2 -o "$work/dcmtk_scan" bench/peers/dcmtk_scan.cc -ldcmdata -loflog -lofstd

results=$(as_user env PERL5LIB="$top/test/lib" perl bench/scan.pl "${1:-2000}" "${2:-7}")
printf '%s\n' "$results"

# The section of this benchmark is replaced; those of others stay.
touch bench/RESULTS.md
{
	sed '/^## Scan$/,/^## /{/^## Scan$/d;/^## /!d}' bench/RESULTS.md
	printf '## Scan\n\n%s\n\n' "$results"
} >build/RESULTS.md
mv build/RESULTS.md bench/RESULTS.md
