#!/bin/bash
# usage: bench/growth.sh [SIZE...]		(1000 10000 100000)
#
# Measures how cost grows with the number of objects, in directories of small files: the first sync, the second, one after a file was
# touched; a day, an instance and everything from the catalog; and the most memory of its own that the worker of the sync and the
# backend of the scan have. Prints a table and writes it into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. bench/common.sh "$@"

[ $# -gt 0 ] || set -- 1000 10000 100000
section 'Growth' growth.pl "$@"
