#!/bin/bash
# usage: bench/compress.sh [FILES [REPETITIONS]]		(10000 files, 3 repetitions)
#
# Measures dicompress: files of 512 x 512 pixels of 16 bits, a smooth and a noisy set of them, to JPEG of quality 90, against
#	- libjpeg-turbo alone, on all processors, with pixels of 8 bits already in memory: the limit
#	- Python: pydicom, numpy and OpenCV, in one process
#	- dcmj2pnm of DCMTK, a process for each file
# All must make the same pictures, else this fails. Needs room for a set, 5 GiB of 10000 files, on disk and twice in memory: files lie in tmpfs, or
# on a disk and in the page cache, of which some systems take them back within seconds. Prints the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. bench/common.sh "$@"

gcc -O2 -o "$work/turbo_limit" bench/peers/turbo_limit.c -ljpeg -lpthread
section 'Compression' compress.pl "${1:-10000}" "${2:-3}"
