# Sourced by the benchmarks, from the top of the clone: `. bench/common.sh "$@"`, which prepares what they run in. Defines
#	measure PROGRAM ARGUMENT...	runs bench/PROGRAM, in Perl, on a private installation of the extension
#	section NAME RESULTS		prints Markdown, and puts it into bench/RESULTS.md in place of what was there under that name
. scripts/setup.sh bench
. scripts/unprivileged.sh
hand_over_to_sudo_caller "$top/bench/$(basename "$0")" "$@"
choose_user

work=$(work_directory "$top/build/bench")
chmod a+rx "$work"
export DICOM_TEST_TOP=$top DICOM_TEST_WORK=$work DICOM_TEST_BIN DICOM_TEST_CORPUS=
DICOM_TEST_BIN=$(scripts/private_install.sh "$work/postgresql")
make -s -C test tools

measure()
{
	local program=$1
	shift

	as_user env PERL5LIB="$top/test/lib:$top/bench/lib" perl "bench/$program" "$@"
}

section()
{
	printf '%s\n' "$2"
	touch bench/RESULTS.md
	{
		sed "/^## $1\$/,/^## /{/^## $1\$/d;/^## /!d}" bench/RESULTS.md
		printf '## %s\n\n%s\n\n' "$1" "$2"
	} >build/RESULTS.md
	mv build/RESULTS.md bench/RESULTS.md
}
