# Sourced by what starts a PostgreSQL, which never runs as root. Defines
#	user				who runs it: whoever calls, or, for root, postgres (or who called sudo, where the clone is theirs)
#	as_user COMMAND...	runs a command as that user
#	work_directory DIRECTORY	prints DIRECTORY if that user can work in it, else one in $TMPDIR that they can; makes it
#
# Needs $top, the clone.

user=$(id -un)
umask 022

# A clone made by the one who called sudo stays theirs: the whole script starts over as them.
hand_over_to_sudo_caller()
{
	[ "$(id -u)" = 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ] || return 0
	runuser -u "$SUDO_USER" -- test -w "$top" || return 0
	exec runuser -u "$SUDO_USER" -- "$@"
}

choose_user()
{
	[ "$(id -u)" = 0 ] || return 0
	user=postgres
	id "$user" >/dev/null 2>&1 || { echo "PostgreSQL does not run as root: create a user named $user, or call this as another user" >&2; return 1; }
}

as_user()
{
	if [ "$user" = "$(id -un)" ]; then
		"$@"
	else
		runuser -u "$user" -- env HOME=/nonexistent "$@"
	fi
}

# The name of a Unix socket in it must stay below 108 bytes.
work_directory()
{
	local directory=$1 name

	mkdir -p "$(dirname "$directory")"
	if ! as_user test -x "$(dirname "$directory")" || [ ${#directory} -gt 70 ]; then
		name=dicom_fdw-$(basename "$directory")-$(printf '%s' "$top" | cksum | cut -d ' ' -f 1)
		directory=${TMPDIR:-/tmp}/$name
	fi
	[ -d "$directory" ] || mkdir -m 700 "$directory"
	[ "$user" = "$(id -un)" ] || chown "$user" "$directory"
	# shellcheck disable=SC2012
	[ ! -L "$directory" ] && [ "$(stat -c %U "$directory")" = "$user" ] || { echo "$directory belongs to somebody else" >&2; return 1; }
	printf '%s\n' "$directory"
}
