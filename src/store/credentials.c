/*
 * credentials.c
 *	  The chain itself: which link is asked when, and how long its answer holds.
 */
#include "credentials_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RENEW_BEFORE 300 /* seconds before keys expire */
#define ASK_AGAIN_AFTER \
	10 /* seconds between two questions about keys that are still good, or that a server refused */
#define MAX_FILE (1024 * 1024)

typedef enum dicom_status (*find_keys)(struct credentials *credentials, struct found_keys *keys,
									   struct dicom_error *error);

static enum dicom_status find_given(struct credentials *credentials, struct found_keys *keys,
									struct dicom_error *error);
static enum dicom_status find_environment(struct credentials *credentials, struct found_keys *keys,
										  struct dicom_error *error);

static const struct chain_link
{
	enum store_credentials_source source;
	const char *origin;
	find_keys find;
} chain[] = {
	{STORE_CREDENTIALS_MAPPING, "user mapping", find_given},
	{STORE_CREDENTIALS_INSTANCE, "web identity", credentials_find_web_identity},
	{STORE_CREDENTIALS_INSTANCE, "container", credentials_find_container},
	{STORE_CREDENTIALS_INSTANCE, "instance", credentials_find_instance},
	{STORE_CREDENTIALS_ENVIRONMENT, "environment", find_environment},
	{STORE_CREDENTIALS_PROFILE, "profile", credentials_find_profile},
};

#define CHAIN_LENGTH (sizeof(chain) / sizeof(chain[0]))

/* --- what the links share --- */

void
credentials_wipe_string(char *string)
{
	if (string)
		explicit_bzero(string, strlen(string));
	free(string);
}

void
credentials_wipe_buffer(struct dicom_buffer *buffer)
{
	if (buffer->data)
		explicit_bzero(buffer->data, buffer->capacity);
	dicom_buffer_free(buffer);
}

void
found_keys_free(struct found_keys *keys)
{
	credentials_wipe_string(keys->access_key_id);
	credentials_wipe_string(keys->secret_access_key);
	credentials_wipe_string(keys->session_token);
	memset(keys, 0, sizeof(*keys));
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

char *
credentials_copy(const char *text, size_t length)
{
	while (length > 0 && is_blank(text[length - 1]))
		length--;
	while (length > 0 && is_blank(*text))
	{
		text++;
		length--;
	}
	return length > 0 ? strndup(text, length) : NULL;
}

const char *
credentials_environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static bool
read_descriptor(int fd, struct dicom_buffer *buffer)
{
	char *room =
		dicom_buffer_reserve(buffer, MAX_FILE + 1); /* at once: growing leaves copies of secrets behind */
	size_t length = 0;
	ssize_t got = 1;

	if (room == NULL)
		return false;
	while (length < MAX_FILE && got > 0)
	{
		got = read(fd, room + length, MAX_FILE - length);
		if (got < 0 && errno != EINTR)
			return false;
		length += got > 0 ? (size_t) got : 0;
	}
	buffer->length += length;
	room[length] = '\0';
	return true;
}

enum dicom_status
credentials_read_file(const char *path, const char *what, struct dicom_buffer *buffer,
					  struct dicom_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool done;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return DICOM_END;
	done = fd >= 0 && read_descriptor(fd, buffer);
	if (!done)
		dicom_fail(error, DICOM_ERROR_CREDENTIALS, "cannot read %s \"%s\": %s", what, path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return done ? DICOM_OK : DICOM_FAILED;
}

/* --- links that ask nobody --- */

static char *
copy_string(const char *text)
{
	return text ? credentials_copy(text, strlen(text)) : NULL;
}

/* Copies three strings into *keys; false where memory runs out. */
static bool
copy_keys(struct found_keys *keys, const char *access_key_id, const char *secret, const char *token)
{
	keys->access_key_id = copy_string(access_key_id);
	keys->secret_access_key = copy_string(secret);
	keys->session_token = copy_string(token);
	return keys->access_key_id && keys->secret_access_key;
}

static enum dicom_status
find_given(struct credentials *credentials, struct found_keys *keys, struct dicom_error *error)
{
	const struct found_keys *given = &credentials->given;

	if (given->access_key_id == NULL)
		return DICOM_END;
	if (!copy_keys(keys, given->access_key_id, given->secret_access_key, given->session_token))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	return DICOM_OK;
}

static enum dicom_status
find_environment(struct credentials *credentials, struct found_keys *keys, struct dicom_error *error)
{
	const char *access_key_id = credentials_environment("AWS_ACCESS_KEY_ID");
	const char *secret = credentials_environment("AWS_SECRET_ACCESS_KEY");

	if (access_key_id == NULL && secret == NULL)
		return DICOM_END;
	if (access_key_id == NULL || secret == NULL)
		return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "environment variable %s is not set",
						  access_key_id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	if (!copy_keys(keys, access_key_id, secret, credentials_environment("AWS_SESSION_TOKEN")))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	return DICOM_OK;
}

/* --- opening --- */

static bool
is_set(const char *text)
{
	return text && *text;
}

static enum dicom_status
check_options(const struct store_options *options, struct dicom_error *error)
{
	bool has_id = is_set(options->access_key_id);
	bool has_secret = is_set(options->secret_access_key);

	if (has_id != has_secret)
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "access_key_id and secret_access_key go together");
		return dicom_hint(error, "Set %s too.", has_id ? "secret_access_key" : "access_key_id");
	}
	if (is_set(options->session_token) && !has_id)
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "session_token without access_key_id");
	if (options->credentials == STORE_CREDENTIALS_MAPPING && !has_id)
		return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "no keys are given");
	if (options->allow_ambient)
		return DICOM_OK;
	if (options->credentials == STORE_CREDENTIALS_ENVIRONMENT ||
		options->credentials == STORE_CREDENTIALS_PROFILE ||
		options->credentials == STORE_CREDENTIALS_INSTANCE)
	{
		dicom_fail(error, DICOM_ERROR_ACCESS_DENIED, "not allowed to use the credentials of this machine");
		return dicom_hint(error, "Give access_key_id and secret_access_key.");
	}
	return DICOM_OK;
}

static bool
copy_options(struct credentials *credentials, const struct store_options *options)
{
	credentials->source = options->credentials;
	credentials->allow_ambient = options->allow_ambient;
	credentials->profile = copy_string(options->profile);
	credentials->region = copy_string(options->region);
	if (is_set(options->profile) && credentials->profile == NULL)
		return false;
	/* Who names a profile means it, unless keys are given. */
	if (credentials->source == STORE_CREDENTIALS_AUTO && credentials->profile && credentials->allow_ambient &&
		!is_set(options->access_key_id))
		credentials->source = STORE_CREDENTIALS_PROFILE;
	return !is_set(options->access_key_id) || copy_keys(&credentials->given, options->access_key_id,
														options->secret_access_key, options->session_token);
}

enum dicom_status
credentials_open(const struct store_options *options, const struct credentials_transport *transport,
				 struct credentials **credentials, struct dicom_error *error)
{
	struct credentials *made;

	*credentials = NULL;
	if (check_options(options, error) != DICOM_OK)
		return DICOM_FAILED;
	made = calloc(1, sizeof(*made));
	if (made == NULL || !copy_options(made, options))
	{
		credentials_close(made);
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	}
	made->transport = *transport;
	made->origin = "";
	*credentials = made;
	return DICOM_OK;
}

void
credentials_close(struct credentials *credentials)
{
	if (credentials == NULL)
		return;
	found_keys_free(&credentials->given);
	found_keys_free(&credentials->keys);
	free(credentials->profile);
	free(credentials->region);
	free(credentials);
}

const char *
credentials_origin(const struct credentials *credentials)
{
	return credentials->origin;
}

/* --- asking the chain --- */

static bool
may_ask(const struct credentials *credentials, const struct chain_link *link)
{
	if (link->source != STORE_CREDENTIALS_MAPPING && !credentials->allow_ambient)
		return false;
	return credentials->source == STORE_CREDENTIALS_AUTO || credentials->source == link->source;
}

/* Keys go into headers: what could end one, or is no ASCII, was not meant as a key. */
static bool
is_printable(const char *text)
{
	for (; text && *text; text++)
		if (*text <= ' ' || *text >= 0x7F)
			return false;
	return true;
}

static enum dicom_status
check_keys(const struct found_keys *keys, const char *origin, struct dicom_error *error)
{
	if (is_printable(keys->access_key_id) && is_printable(keys->session_token))
		return DICOM_OK;
	return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "credentials (%s) hold bytes that no key has", origin);
}

static enum dicom_status
find_nothing(const struct credentials *credentials, struct dicom_error *error)
{
	if (credentials->source == STORE_CREDENTIALS_AUTO || credentials->source == STORE_CREDENTIALS_ANONYMOUS)
		return DICOM_OK;
	dicom_fail(error, DICOM_ERROR_CREDENTIALS, "no credentials found");
	if (credentials->source == STORE_CREDENTIALS_ENVIRONMENT)
		return dicom_hint(error, "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the server process.");
	if (credentials->source == STORE_CREDENTIALS_INSTANCE)
		return dicom_hint(error,
						  "The machine has neither a web identity, nor a container's or an instance's role.");
	return dicom_hint(error, "Look into the shared credentials file of the server's user.");
}

/* Asks one link after the other. *keys without access_key_id: anonymous. */
static enum dicom_status
ask_chain(struct credentials *credentials, struct found_keys *keys, const char **origin,
		  struct dicom_error *error)
{
	size_t i;

	for (i = 0; i < CHAIN_LENGTH; i++)
	{
		enum dicom_status status = DICOM_END;

		if (may_ask(credentials, &chain[i]))
			status = chain[i].find(credentials, keys, error);
		if (status == DICOM_OK)
			status = check_keys(keys, chain[i].origin, error);
		*origin = chain[i].origin;
		if (status != DICOM_END)
			return status;
	}
	*origin = "anonymous";
	return find_nothing(credentials, error);
}

static bool
is_expired(const struct credentials *credentials, time_t now)
{
	return credentials->renew || (credentials->keys.expires_at != 0 && now >= credentials->keys.expires_at);
}

static bool
is_fresh(const struct credentials *credentials, time_t now)
{
	if (!credentials->known || is_expired(credentials, now))
		return false;
	if (credentials->keys.expires_at == 0 || now < credentials->keys.expires_at - RENEW_BEFORE)
		return true;
	return now < credentials->asked_at + ASK_AGAIN_AFTER;
}

static enum dicom_status
renew(struct credentials *credentials, time_t now, struct dicom_error *error)
{
	struct found_keys found = {0};
	const char *origin;

	credentials->asked_at = now;
	if (ask_chain(credentials, &found, &origin, error) != DICOM_OK)
	{
		found_keys_free(&found);
		return DICOM_FAILED;
	}
	found_keys_free(&credentials->keys);
	credentials->keys = found;
	credentials->origin = origin;
	credentials->known = true;
	credentials->renew = false;
	return DICOM_OK;
}

enum dicom_status
credentials_get(struct credentials *credentials, time_t now, struct sigv4_credentials *signing,
				struct dicom_error *error)
{
	struct dicom_error ignored;

	if (!is_fresh(credentials, now))
	{
		bool usable = credentials->known && !is_expired(credentials, now);

		/* Keys in hand that still hold are used, whatever ails the service that renews them; but a cancel is a cancel. */
		if (renew(credentials, now, usable ? &ignored : error) != DICOM_OK)
		{
			if (!usable)
				return DICOM_FAILED;
			if (ignored.code == DICOM_ERROR_INTERRUPTED)
			{
				if (error)
					*error = ignored;
				return DICOM_FAILED;
			}
		}
	}
	signing->access_key_id = credentials->keys.access_key_id;
	signing->secret_access_key = credentials->keys.secret_access_key;
	signing->session_token = credentials->keys.session_token;
	return DICOM_OK;
}

bool
credentials_expire(struct credentials *credentials, time_t now)
{
	if (credentials->keys.access_key_id == NULL || credentials->given.access_key_id != NULL)
		return false;
	if (now < credentials->asked_at + ASK_AGAIN_AFTER)
		return false;
	credentials->renew = true;
	return true;
}
