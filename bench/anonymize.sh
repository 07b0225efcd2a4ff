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
. bench/common.sh "$@"

section 'Anonymize' anonymize.pl "${1:-200000}" "${2:-5}"
