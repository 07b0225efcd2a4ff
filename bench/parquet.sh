#!/bin/bash
# usage: bench/parquet.sh [ROWS [REPETITIONS]]		(1000000 rows, 5 repetitions)
#
# Measures dicom.export_parquet() against DuckDB, which writes the same rows, from a table of its own in memory, with zstd: size and time.
# Prints the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. scripts/setup.sh test
. scripts/unprivileged.sh
hand_over_to_sudo_caller "$top/bench/parquet.sh" "$@"
choose_user

work=$(work_directory "$top/build/bench")
chmod a+rx "$work"
export DICOM_TEST_TOP=$top DICOM_TEST_WORK=$work DICOM_TEST_BIN DICOM_TEST_CORPUS=
DICOM_TEST_BIN=$(scripts/private_install.sh "$work/postgresql")
as_user bash test/parquet/engines.sh "$work/engines"
as_user cp bench/peers/duckdb_copy.mjs "$work/engines/"

results=$(as_user env PERL5LIB="$top/test/lib" perl bench/parquet.pl "${1:-1000000}" "${2:-5}")
printf '%s\n' "$results"

# The section of this benchmark is replaced; those of others stay.
touch bench/RESULTS.md
{
	sed '/^## Parquet$/,/^## /{/^## Parquet$/d;/^## /!d}' bench/RESULTS.md
	printf '## Parquet\n\n%s\n\n' "$results"
} >build/RESULTS.md
mv build/RESULTS.md bench/RESULTS.md
