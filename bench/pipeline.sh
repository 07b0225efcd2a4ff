#!/bin/bash
# usage: bench/pipeline.sh [IMAGES [SMALL [REPETITIONS]]]		(1000 images of 512 x 512 pixels, 4000 of 64 x 64, 3 repetitions)
#
# Measures how many instances a second a pipeline takes from the provider's directory to the rows of dicom_processed, pictures included, and how
# much of that each step takes; against Orthanc, which is given the same files by POST /instances, over 1, 4 and 8 connections.
# All must be there in the end, on both sides, else this fails. Prints the ratios and writes them into bench/RESULTS.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. bench/common.sh "$@"

section 'Pipeline' pipeline.pl "${1:-1000}" "${2:-4000}" "${3:-3}"
