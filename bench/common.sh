# Sourced by the benchmarks, from the top of the clone: `. bench/common.sh "$@"`, which prepares what they run in. Defines
#	section NAME PROGRAM ARGUMENT...	runs bench/PROGRAM, in Perl, on a private installation of the extension; prints its Markdown, and puts that
#		into bench/RESULTS.md in place of what was there under that name. Where the program fails, so does this, and nothing is replaced
. scripts/setup.sh bench
. scripts/unprivileged.sh
hand_over_to_sudo_caller "$top/bench/$(basename "$0")" "$@"
choose_user

work=$(work_directory "$top/build/bench")
chmod a+rx "$work"
export DICOM_TEST_TOP=$top DICOM_TEST_WORK=$work DICOM_TEST_BIN DICOM_TEST_CORPUS=
DICOM_TEST_BIN=$(scripts/private_install.sh "$work/postgresql")
make -s -C test tools

section()
{
	local name=$1 program=$2 results
	shift 2

	results=$(as_user env PERL5LIB="$top/test/lib:$top/bench/lib" perl "bench/$program" "$@")
	printf '%s\n' "$results"
	touch bench/RESULTS.md
	{
		sed "/^## $name\$/,/^## /{/^## $name\$/d;/^## /!d}" bench/RESULTS.md
		printf '## %s\n\n%s\n\n' "$name" "$results"
	} >build/RESULTS.md
	mv build/RESULTS.md bench/RESULTS.md
}
