#!/bin/bash
# usage: bench/cold.sh [OBJECTS [REPETITIONS]]		(1000 objects, 5 repetitions)
#
# Measures a scan of a bucket that nothing is known of: radosgw behind a proxy, 50 ms of latency a request, ten attributes of
# each object; against boto3 and pydicom with 1 thread and with 64, which read the start of each object, or all of it.
# Every reader must give the same values, else this fails. Prints the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. bench/common.sh "$@"

section 'Cold scan' cold.pl "${1:-1000}" "${2:-5}"
