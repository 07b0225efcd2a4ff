#!/bin/bash
# usage: bench/anonymize.sh [ROWS [REPETITIONS]]		(200000 rows, 5 repetitions)
#
# Measures, in one process on one core:
#	- dicom.full_hash(), dicom.short_id() and others against pgcrypto's encode(hmac(...), 'hex') over the same values
#	- the rules of profiles over whole rows of images, no column of them NULL, against the same rows untouched
#	- dicom.anonymize_row() and dicom.anonymize_dataset()
# A pseudonym must equal what pgcrypto makes of the same message, else this fails. Prints the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. scripts/setup.sh test
. scripts/unprivileged.sh
hand_over_to_sudo_caller "$top/bench/anonymize.sh" "$@"
choose_user

work=$(work_directory "$top/build/bench")
chmod a+rx "$work"
export DICOM_TEST_TOP=$top DICOM_TEST_WORK=$work DICOM_TEST_BIN DICOM_TEST_CORPUS=
DICOM_TEST_BIN=$(scripts/private_install.sh "$work/postgresql")

results=$(as_user env PERL5LIB="$top/test/lib" perl bench/anonymize.pl "${1:-200000}" "${2:-5}")
printf '%s\n' "$results"

# The section of this benchmark is replaced; those of others stay.
touch bench/RESULTS.md
{
	sed '/^## Anonymize$/,/^## /{/^## Anonymize$/d;/^## /!d}' bench/RESULTS.md
	printf '## Anonymize\n\n%s\n\n' "$results"
} >build/RESULTS.md
mv build/RESULTS.md bench/RESULTS.md
