/*
 * credentials_profile.c
 *	  Keys from the shared files: ~/.aws/credentials, ~/.aws/config.
 */
#include "credentials_internal.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one section of a file says. */
struct profile
{
	bool found;
	bool delegates; /* to a program, SSO or another role, which are not supported */
	struct found_keys keys;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool
equals(const char *text, size_t length, const char *word)
{
	return strlen(word) == length && memcmp(text, word, length) == 0;
}

static void
trim(const char **text, size_t *length)
{
	while (*length > 0 && is_blank((*text)[*length - 1]))
		(*length)--;
	while (*length > 0 && is_blank(**text))
	{
		(*text)++;
		(*length)--;
	}
}

/* Is "[name]" (or "[profile name]" in the config file) the section of this profile? */
static bool
is_section_of(const char *line, size_t length, const char *name, bool config)
{
	const char *end = memchr(line, ']', length);

	if (end == NULL)
		return false;
	line++;
	length = (size_t) (end - line);
	trim(&line, &length);
	if (config && length > 8 && memcmp(line, "profile", 7) == 0 && is_blank(line[7]))
	{
		line += 7;
		length -= 7;
		trim(&line, &length);
		return equals(line, length, name);
	}
	return (!config || strcmp(name, "default") == 0) && equals(line, length, name);
}

static void
set_key(char **place, const char *value, size_t length)
{
	credentials_wipe_string(*place);
	*place = credentials_copy(value, length);
}

static void
take_setting(struct profile *profile, const char *line, size_t length)
{
	const char *sign = memchr(line, '=', length);
	const char *value = sign + 1;
	size_t name_length = (size_t) (sign - line);
	size_t value_length = length - name_length - 1;

	trim(&line, &name_length);
	if (equals(line, name_length, "aws_access_key_id"))
		set_key(&profile->keys.access_key_id, value, value_length);
	else if (equals(line, name_length, "aws_secret_access_key"))
		set_key(&profile->keys.secret_access_key, value, value_length);
	else if (equals(line, name_length, "aws_session_token"))
		set_key(&profile->keys.session_token, value, value_length);
	else if (equals(line, name_length, "credential_process") || equals(line, name_length, "role_arn") ||
			 equals(line, name_length, "sso_session") || equals(line, name_length, "sso_start_url"))
		profile->delegates = true;
}

static void
parse_profile(const char *text, const char *name, bool config, struct profile *profile)
{
	bool inside = false;

	while (*text)
	{
		const char *line = text;
		size_t length = strcspn(text, "\n");
		bool nested = is_blank(*line); /* belongs to the setting above */

		text += length;
		text += *text == '\n';
		trim(&line, &length);
		if (length == 0 || *line == '#' || *line == ';')
			continue;
		if (*line == '[')
		{
			inside = is_section_of(line, length, name, config);
			profile->found |= inside;
		}
		else if (inside && !nested && memchr(line, '=', length))
			take_setting(profile, line, length);
	}
}

/* Path of a shared file: named by the environment, or below the home directory. False where there is none. */
static bool
find_file(const char *variable, const char *name, char *path, size_t size)
{
	const char *given = credentials_environment(variable);
	const char *home = credentials_environment("HOME");
	char scratch[2048];
	struct passwd entry;
	struct passwd *found = NULL;
	int length;

	if (given == NULL && home == NULL &&
		getpwuid_r(geteuid(), &entry, scratch, sizeof(scratch), &found) == 0 && found)
		home = entry.pw_dir;
	if (given == NULL && home == NULL)
		return false;
	length = given ? snprintf(path, size, "%s", given) : snprintf(path, size, "%s/.aws/%s", home, name);
	return length > 0 && (size_t) length < size;
}

static enum dicom_status
read_profile(const char *variable, const char *file, const char *name, bool config, struct profile *profile,
			 struct dicom_error *error)
{
	struct dicom_buffer buffer = {0};
	enum dicom_status status;
	char path[4096];

	if (!find_file(variable, file, path, sizeof(path)))
		return DICOM_OK;
	status = credentials_read_file(path, "shared credentials file", &buffer, error);
	if (status == DICOM_OK)
		parse_profile(buffer.data, name, config, profile);
	credentials_wipe_buffer(&buffer);
	/* A home directory that is closed to us (a server started by root) is none. */
	if (status == DICOM_FAILED && credentials_environment(variable) == NULL)
		return DICOM_OK;
	return status == DICOM_FAILED ? DICOM_FAILED : DICOM_OK;
}

static bool
is_complete(const struct profile *profile)
{
	return profile->keys.access_key_id && profile->keys.secret_access_key;
}

static enum dicom_status
judge_profile(const struct profile *profile, const char *name, bool named, struct dicom_error *error)
{
	if (is_complete(profile))
		return DICOM_OK;
	if (profile->keys.access_key_id || profile->keys.secret_access_key)
		return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "profile \"%s\" has half a key", name);
	if (profile->delegates)
	{
		dicom_fail(error, DICOM_ERROR_CREDENTIALS, "profile \"%s\" names no keys, but where to get them",
				   name);
		return dicom_hint(error, "credential_process, SSO and role_arn of shared files are not supported.");
	}
	if (!named)
		return DICOM_END;
	return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "profile \"%s\" %s", name,
					  profile->found ? "has no keys" : "is not in the shared files");
}

enum dicom_status
credentials_find_profile(struct credentials *credentials, struct found_keys *keys, struct dicom_error *error)
{
	const char *name = credentials->profile ? credentials->profile : credentials_environment("AWS_PROFILE");
	bool named = name != NULL;
	struct profile profile = {0};
	enum dicom_status status;

	if (!named)
		name = "default";
	status = read_profile("AWS_SHARED_CREDENTIALS_FILE", "credentials", name, false, &profile, error);
	if (status == DICOM_OK && !is_complete(&profile))
		status = read_profile("AWS_CONFIG_FILE", "config", name, true, &profile, error);
	if (status == DICOM_OK)
		status = judge_profile(&profile, name, named, error);
	if (status != DICOM_OK)
	{
		found_keys_free(&profile.keys);
		return status;
	}
	*keys = profile.keys;
	return DICOM_OK;
}
