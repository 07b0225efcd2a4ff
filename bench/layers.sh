#!/bin/bash
# usage: bench/layers.sh [FILES [REPETITIONS]]		(100000 files, 3 repetitions)
#
# Measures a pipeline over a directory of which one file has changed, one of a day of 1,000 images:
#	- the merge of that day, against DELETE and INSERT ... SELECT of the day, and REFRESH MATERIALIZED VIEW CONCURRENTLY of all, same query
#	- the run as a whole, and its steps, with ten images on each of the other days; against one over 10 such days
# The run must have opened one file and refreshed one day of each table, and all three tables must hold the same rows, else this fails. Prints
# the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. bench/common.sh "$@"

section 'Layers' layers.pl "${1:-100000}" "${2:-3}"
