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
. bench/common.sh "$@"

g++ -std=c++17 -O2 -o "$work/dcmtk_scan" bench/peers/dcmtk_scan.cc -ldcmdata -loflog -lofstd
section 'Scan' scan.pl "${1:-2000}" "${2:-7}"
