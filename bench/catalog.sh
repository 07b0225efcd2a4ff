#!/bin/bash
# usage: bench/catalog.sh [FILES [REPETITIONS]]		(100000 files, 7 repetitions)
#
# Measures how fast a query is answered by the catalog alone, with `freshness` in force:
#	- ten columns of images, whose headers are in the catalog, against the same scan over the files in the page cache
#	- values that are columns of the catalog itself, against the same queries on an ordinary table of the same rows
# Both sides must give the same rows, else this fails. Prints the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. bench/common.sh "$@"

section 'Catalog' catalog.pl "${1:-100000}" "${2:-7}"
