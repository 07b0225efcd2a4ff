#!/bin/bash
# usage: bench/parquet.sh [ROWS [REPETITIONS]]		(1000000 rows, 5 repetitions)
#
# Measures dicom.export_parquet() against DuckDB, which writes the same rows, from a table of its own in memory, with zstd: size and time.
# Prints the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. bench/common.sh "$@"

as_user bash test/parquet/engines.sh "$work/engines"
as_user cp bench/peers/duckdb_copy.mjs "$work/engines/"
section 'Parquet' parquet.pl "${1:-1000000}" "${2:-5}"
