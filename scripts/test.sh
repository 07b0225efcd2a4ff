#!/bin/bash
# usage: scripts/test.sh [NAME...]
#
# Runs every test, or those whose names contain one of the arguments ('unit', 'fuzz', 'regress', '110_pruning', ...).
# The last line is 'N passed, N failed' (', N skipped' where some could not be done); fails if any test did, or none ran.
# As many run side by side as there are processors, or as DICOM_TEST_JOBS says.
# Input from outside is optional: real DICOM files in ../shared/corpus.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
. scripts/setup.sh test || exit 1
. scripts/unprivileged.sh
hand_over_to_sudo_caller "$top/scripts/test.sh" "$@"
choose_user || exit 1

# A clone that the user who runs PostgreSQL may not enter is tested in a copy.
if ! as_user test -r "$top/scripts/test.sh"; then
	copy=$(mktemp -d /tmp/dicom_fdw-copy.XXXXXX) && chmod 755 "$copy" || exit 1
	trap 'rm -rf "$copy"' EXIT
	cp -a "$top" "$copy/main"
	rm -rf "$copy/main/build/test"
	[ ! -d ../shared/corpus ] || { mkdir "$copy/shared" && cp -r ../shared/corpus "$copy/shared/" && chmod -R a+rX "$copy/shared"; }
	chmod -R a+rX "$copy/main"
	status=0
	DICOM_TEST_LOGS=$top/build/test/log "$copy/main/scripts/test.sh" "$@" || status=$?
	rm -rf build/test/log
	mkdir -p build/test && cp -r "$copy/main/build/test/log" build/test/
	exit $status
fi

passed=0
failed=0
skipped=0
selection=("$@")
side_by_side=${DICOM_TEST_JOBS:-$(nproc)}
started=() # and not reported yet: their kinds and names
work=$(work_directory "$top/build/test") || exit 1
log=$work/log
as_user mkdir -p "$log"
chmod a+rx "$work"

is_selected()
{
	local part

	[ ${#selection[@]} -gt 0 ] || return 0
	for part in "${selection[@]}"; do
		case $1 in *"$part"*) return 0 ;; esac
	done
	return 1
}

tell()
{
	printf '%-44s %s\n' "$1" "$2"
}

skip()
{
	is_selected "$1" || return 0
	skipped=$((skipped + 1))
	tell "$1" "skipped: $2"
}

# One test: passes when the command succeeds.
check()
{
	! is_selected "$1" || always "$@"
}

# A target of test/Makefile, built when it or one of the tests that use it is selected: TARGET NAME TEST...
build()
{
	local target=$1 name=$2 test
	shift

	for test; do
		if is_selected "$test"; then
			always "$name" make -s -C test -j "$(nproc)" "$target"
			return
		fi
	done
}

always()
{
	run "$@"
	report_check "$1"
}

# --- tests side by side

# Where the output of a test goes.
output_of()
{
	echo "$log/${1//[^A-Za-z0-9_.-]/_}.log"
}

# Runs the command of a test: NAME COMMAND...
run()
{
	local output
	output=$(output_of "$1")
	shift

	"$@" >"$output" 2>&1 </dev/null
	echo $? >"$output.status"
}

# Starts a test beside others: KIND NAME COMMAND...; `report_KIND NAME` tells what came of it, in the order of starts.
start()
{
	local kind=$1
	shift

	is_selected "$1" || return 0
	rm -f "$(output_of "$1").status"
	while [ "$(jobs -pr | wc -l)" -ge "$side_by_side" ]; do
		wait -n
		report_ended
	done
	run "$@" &
	started+=("$kind $1")
}

report_ended()
{
	local next

	while [ ${#started[@]} -gt 0 ]; do
		next=${started[0]}
		[ -s "$(output_of "${next#* }").status" ] || return 0
		"report_${next%% *}" "${next#* }"
		started=("${started[@]:1}")
	done
}

finish()
{
	wait
	report_ended
}

report_check()
{
	local name=$1 output
	output=$(output_of "$1")

	if [ "$(cat "$output.status")" = 0 ]; then
		passed=$((passed + 1))
		tell "$name" ok
	else
		failed=$((failed + 1))
		tell "$name" FAILED
		tail -n 40 "$output"
	fi
}

# As many tests as the command's TAP says. A plan that is not fulfilled, or a bad exit without a failed test, is a failure too.
report_tap()
{
	local name=$1 output status ok not_ok skips planned
	output=$(output_of "$1")

	status=$(cat "$output.status")
	skips=$(grep -ciE '^((not )?ok\b.*# *skip|1\.\.0\b.*# *skip)' "$output")
	ok=$(grep -cE '^ok\b' "$output")
	ok=$((ok - $(grep -ciE '^ok\b.*# *skip' "$output")))
	not_ok=$(grep -E '^not ok\b' "$output" | grep -ciEv '# *(skip|todo)')
	planned=$(sed -n 's/^1\.\.\([0-9][0-9]*\).*/\1/p' "$output" | tail -n 1)
	if [ -z "$planned" ] || { [ "$planned" -gt 0 ] && [ "$planned" != "$(grep -cE '^(not )?ok\b' "$output")" ]; } ||
		{ [ $status != 0 ] && [ "$not_ok" = 0 ]; }; then
		not_ok=$((not_ok + 1))
		echo "# $name: exit status $status, planned ${planned:-nothing}" >>"$output"
	fi
	passed=$((passed + ok))
	failed=$((failed + not_ok))
	skipped=$((skipped + skips))
	if [ "$not_ok" -gt 0 ]; then
		tell "$name" "$ok ok, $not_ok FAILED"
		if grep -q '^not ok' "$output"; then
			grep -E '^(not ok|#)' "$output" | tail -n 60
		else
			tail -n 20 "$output"
		fi
	elif [ "$ok" = 0 ] && [ "$skips" -gt 0 ]; then
		tell "$name" "$(grep -iE -m 1 -o '# *skip.*' "$output" | sed 's/# *[sS][kK][iI][pP]\(ped\)*:* */skipped: /')"
	else
		tell "$name" "$ok ok$([ "$skips" = 0 ] || echo ", $skips skipped")"
		sed -nE 's/^# ((counted|measured): )/    \1/p' "$output"
	fi
}

# --- static checks

our_sources()
{
	find src test bench \( -name '*.[ch]' -o -name '*.cc' \) "$@" | LC_ALL=C sort
}

# check_with COMMAND VERSION NAME FUNCTION: a tool's judgement, of the version that the sources were written with; another one judges otherwise.
check_with()
{
	case $("$1" --version 2>/dev/null) in
		*" $2" | *" $2".*) check "$3" "$4" ;;
		*) skip "$3" "no $1 $2" ;;
	esac
}

lint_format()
{
	our_sources | xargs clang-format --dry-run -Werror
}

# The lower half only: PostgreSQL's macros (foreach, ereport) are beyond it. clang-tidy looks at both.
lint_cppcheck()
{
	local cache=$top/build/cppcheck

	mkdir -p "$cache"
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --library=posix \
		--suppress=missingIncludeSystem --suppress=invalidPointerCast -j "$(nproc)" --cppcheck-build-dir="$cache" -Ibuild -Isrc --max-configs=1 \
		-i test/tools/sandbox_tool.c \
		src/dicom src/store src/reader src/image src/compress test/tools
}

tidy_flags=(-std=gnu11 -Ibuild -Isrc -I"$(${PG_CONFIG:-pg_config} --includedir-server)" -D_GNU_SOURCE)

# The analyzer's checks take fifty times as long as all the others together: they are made where DICOM_TEST_DEEP is set.
tidy_checks=-clang-analyzer-*
[ -z "${DICOM_TEST_DEEP:-}" ] || tidy_checks=
export tidy_checks

# A file that passed before, with the same text and the same headers of ours, is not looked at again.
tidy_one()
{
	local file=$1 stamp=build/tidy/$1 sum
	shift

	sum="$(gcc -MM "$@" "$file" 2>/dev/null | tr -d '\\' | tr ' ' '\n' | grep -E '^(src|build)/' | sort -u | xargs cat .clang-tidy | cksum) $tidy_checks"
	[ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return 0
	clang-tidy --quiet --checks="$tidy_checks" --warnings-as-errors='*' "$file" -- "$@" 2>&1 || return 1
	mkdir -p "$(dirname "$stamp")"
	printf '%s' "$sum" >"$stamp"
}

lint_tidy()
{
	export -f tidy_one
	find src -name '*.c' | LC_ALL=C sort | xargs -P "$(nproc)" -I {} bash -c 'tidy_one "$@"' bash {} "${tidy_flags[@]}"
}

lint_shell()
{
	local script

	for script in scripts/*.sh bench/*.sh test/*/*.sh .ci/run; do
		[ ! -f "$script" ] || bash -n "$script" || return 1
	done
}

# --- the lower half

fuzz_seeds()
{
	[ -f test/fuzz/make_seeds.py ] || return 0
	rm -rf "$work/seeds"
	as_user python3 -B test/fuzz/make_seeds.py "$work/seeds"
}

# Seeds may lie in a directory per fuzzer, or in one for all.
fuzz()
{
	local name=$1 seeds=$work/seeds

	[ ! -d "$seeds/$name" ] || seeds=$seeds/$name
	as_user mkdir -p "$work/corpus/$name" "$seeds"
	as_user "$top/build/$name" -runs="${FUZZ_RUNS:-100000}" -max_total_time="${FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix="$work/" -print_final_stats=1 "$work/corpus/$name" "$seeds"
}

# --- PostgreSQL

regress()
{
	local pgxs tests

	pgxs=$(dirname "$(dirname "$("${PG_CONFIG:-pg_config}" --pgxs)")")
	tests=$(basename -s .sql sql/*.sql)
	# shellcheck disable=SC2086
	as_user "$pgxs/test/regress/pg_regress" --bindir="$DICOM_TEST_BIN" --inputdir="$top" --outputdir="$work" \
		--temp-instance="$work/regress" --temp-config="$work/regress.conf" --encoding=UTF8 --no-locale --dbname=contrib_regression $tests
}

regress_as_tap()
{
	local output=$work/regress.out status number=0 name

	rm -rf "$work/regress" "$work/regression.diffs"
	as_user tee "$work/regress.conf" >/dev/null <<-END
		fsync = off
		listen_addresses = ''
	END
	regress >"$output" 2>&1
	status=$?
	if grep -qE '^ok ' "$output"; then
		cat "$output"
	else
		while read -r name result; do
			number=$((number + 1))
			echo "$result $number - $name"
		done < <(sed -nE 's/^test ([^ ]+) +\.\.\. ok .*/\1 ok/p; s/^test ([^ ]+) +\.\.\. FAILED.*/\1 not ok/p' "$output")
		echo "1..$number"
	fi
	[ ! -s "$work/regression.diffs" ] || sed 's/^/# /' "$work/regression.diffs" | head -n 200
	[ $status = 0 ] || grep -q '^test ' "$output" || sed 's/^/# /' "$output"
	return $status
}

perl_test()
{
	as_user env PERL5LIB="$top/test/lib" perl "$@"
}

export WERROR=-Werror
export DICOM_TEST_TOP=$top DICOM_TEST_WORK=$work
export DICOM_TEST_CORPUS=
if as_user test -r "$top/../shared/corpus/TRUTH.jsonl"; then
	DICOM_TEST_CORPUS=$(cd "$top/../shared/corpus" && pwd)
fi

check_with clang-format 14 "lint: format" lint_format
check_with cppcheck 2.10 "lint: cppcheck" lint_cppcheck
check "lint: shell" lint_shell
mapfile -t fuzzers < <(basename -a -s .c test/fuzz/fuzz_*.c)
mapfile -t tests < <(basename -a -s .pl test/t/*.pl)
build unit "build: sanitized" unit
build image "build: sanitized image" image
build compress "build: sanitized compress" compress
build fuzz "build: fuzzers" "${fuzzers[@]/#/fuzz: }"
build tools "build: tools" truth "${tests[@]}"
start tap "unit" as_user "$top/build/unit-tests"
start tap "image" as_user "$top/build/image-tests"
start tap "compress" as_user "$top/build/compress-tests"
finish

check "fuzz: seeds" fuzz_seeds
for fuzzer in "${fuzzers[@]}"; do
	start check "fuzz: $fuzzer" fuzz "$fuzzer"
done
finish

if DICOM_TEST_BIN=$(scripts/private_install.sh "$work/postgresql" 2>"$log/build.log"); then
	export DICOM_TEST_BIN
	passed=$((passed + 1))
	tell "build: extension" ok
	[ ! -f .clang-tidy ] || check_with clang-tidy 14 "lint: clang-tidy" lint_tidy
	if [ -z "$DICOM_TEST_CORPUS" ]; then
		skip "truth" "no ../shared/corpus"
	elif [ -f test/truth.py ]; then
		check "truth" as_user python3 -B test/truth.py "$top/build/tools/dicom_truth" "$DICOM_TEST_CORPUS"
	fi
	! ls sql/*.sql >/dev/null 2>&1 || start tap "regress" regress_as_tap
	for file in test/pgtap/*.sql; do
		[ ! -f "$file" ] || start tap "pgtap: $(basename -s .sql "$file")" perl_test test/lib/pgtap.pl "$file"
	done
	for test in "${tests[@]}"; do
		start tap "$test" perl_test "test/t/$test.pl"
	done
	finish
else
	failed=$((failed + 1))
	tell "build: extension" FAILED
	tail -n 40 "$log/build.log"
fi

echo "logs are in ${DICOM_TEST_LOGS:-$log}"
echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
[ $failed = 0 ] && [ $passed -gt 0 ]
