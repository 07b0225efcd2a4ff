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
. bench/common.sh "$@"

gcc -O2 -o "$work/curl_multi" bench/peers/curl_multi.c -lcurl
section 'Sync' sync.pl "${1:-5000}" "${2:-100000}" "${3:-5}"
