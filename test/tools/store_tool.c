/*
 * store_tool.c
 *	  Drives a store from the command line, for the integration tests and for measurements.
 *
 *	  store_tool [-o option=value]... [-s] [-i MS] COMMAND ...
 *
 * Options are those of a server, of a user mapping, and of the requests. -s prints the statistics, -i interrupts after so many
 * milliseconds. Keys are printed with control characters and '%' as %XX. An error is one line on standard error:
 * CODE | message | hint | object | attempts.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/s3.h"
#include "store/store.h"

static struct store_options options = {.max_retries = -1, .allow_ambient = true};
static struct store_list_request list_request;
static struct store_put_request put_request;
static const char *if_match;
static const char *target_location;
static bool want_statistics;
static int64_t interrupt_at;

static const char *const codes[] = {
	[DICOM_ERROR_NOT_FOUND] = "NOT_FOUND",
	[DICOM_ERROR_ARCHIVED] = "ARCHIVED",
	[DICOM_ERROR_CHANGED] = "CHANGED",
	[DICOM_ERROR_EXISTS] = "EXISTS",
	[DICOM_ERROR_INVALID_OPTION] = "INVALID_OPTION",
	[DICOM_ERROR_NO_BUCKET] = "NO_BUCKET",
	[DICOM_ERROR_CREDENTIALS] = "CREDENTIALS",
	[DICOM_ERROR_ACCESS_DENIED] = "ACCESS_DENIED",
	[DICOM_ERROR_REGION] = "REGION",
	[DICOM_ERROR_ENDPOINT_REFUSED] = "ENDPOINT_REFUSED",
	[DICOM_ERROR_TLS] = "TLS",
	[DICOM_ERROR_NETWORK] = "NETWORK",
	[DICOM_ERROR_TIMEOUT] = "TIMEOUT",
	[DICOM_ERROR_THROTTLED] = "THROTTLED",
	[DICOM_ERROR_SERVER] = "SERVER",
	[DICOM_ERROR_PROTOCOL] = "PROTOCOL",
	[DICOM_ERROR_IO] = "IO",
	[DICOM_ERROR_FULL] = "FULL",
	[DICOM_ERROR_INTERRUPTED] = "INTERRUPTED",
	[DICOM_ERROR_MEMORY] = "MEMORY",
};

static int
report(const struct dicom_error *error)
{
	const char *code = error->code < (int) (sizeof(codes) / sizeof(codes[0])) ? codes[error->code] : NULL;

	fprintf(stderr, "%s | %s | %s | %s | %d\n", code ? code : "?", error->message, error->hint, error->object,
			error->attempts);
	return 1;
}

static void
print_text(const char *text)
{
	for (; *text; text++)
	{
		if ((unsigned char) *text < ' ' || *text == '%' || *text == 127)
			printf("%%%02X", (unsigned char) *text);
		else
			putchar(*text);
	}
}

static void
print_object(const struct store_object *object)
{
	print_text(object->key);
	if (object->size == STORE_SIZE_UNKNOWN)
		printf("\t?");
	else
		printf("\t%" PRIu64, object->size);
	printf("\t%s\t%" PRId64 "\t%s\n", object->etag ? object->etag : "", object->last_modified,
		   object->storage_class);
}

/* --- options --- */

static bool
set_enumerated(const char *name, const char *value)
{
	static const char *const sources[] = {"auto",    "mapping",  "environment",
										  "profile", "instance", "anonymous"};
	static const char *const styles[] = {"auto", "path", "virtual"};
	int i;

	for (i = 0; i < 6; i++)
		if (strcmp(name, "credentials") == 0 && strcmp(value, sources[i]) == 0)
			options.credentials = (enum store_credentials_source) i;
	for (i = 0; i < 3; i++)
		if (strcmp(name, "url_style") == 0 && strcmp(value, styles[i]) == 0)
			options.url_style = (enum store_url_style) i;
	return strcmp(name, "credentials") == 0 || strcmp(name, "url_style") == 0;
}

static bool
set_text(const char *name, const char *value)
{
	const struct
	{
		const char *name;
		const char **value;
	} texts[] = {
		{"location", &options.location},
		{"endpoint", &options.endpoint},
		{"region", &options.region},
		{"tls_ca", &options.tls_ca},
		{"profile", &options.profile},
		{"access_key_id", &options.access_key_id},
		{"secret_access_key", &options.secret_access_key},
		{"session_token", &options.session_token},
		{"allowed_endpoints", &options.allowed_endpoints},
		{"prefix", &list_request.prefix},
		{"start_after", &list_request.start_after},
		{"end_before", &list_request.end_before},
		{"content_type", &put_request.content_type},
		{"storage_class", &put_request.storage_class},
		{"if_match", &if_match},
		{"target", &target_location},
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		if (strcmp(texts[i].name, name) != 0)
			continue;
		*texts[i].value = value;
		return true;
	}
	return false;
}

static bool
set_number(const char *name, const char *value)
{
	if (strcmp(name, "max_requests") == 0)
		options.max_requests = atoi(value);
	else if (strcmp(name, "request_timeout_ms") == 0)
		options.request_timeout_ms = atoi(value);
	else if (strcmp(name, "connect_timeout_ms") == 0)
		options.connect_timeout_ms = atoi(value);
	else if (strcmp(name, "max_retries") == 0)
		options.max_retries = atoi(value);
	else if (strcmp(name, "allow_ambient") == 0)
		options.allow_ambient = atoi(value);
	else if (strcmp(name, "restrict_endpoints") == 0)
		options.restrict_endpoints = atoi(value);
	else if (strcmp(name, "page_size") == 0)
		list_request.page_size = atoi(value);
	else if (strcmp(name, "limit") == 0)
		list_request.limit = atoi(value);
	else if (strcmp(name, "if_none_match") == 0)
		put_request.if_none_match = atoi(value);
	else if (strcmp(name, "part_size") == 0)
		put_request.part_size = strtoull(value, NULL, 10);
	else
		return false;
	return true;
}

static void
set_option(char *text)
{
	char *value = strchr(text, '=');

	if (value)
		*value++ = '\0';
	if (!value || !(set_enumerated(text, value) || set_text(text, value) || set_number(text, value)))
	{
		fprintf(stderr, "no such option: %s\n", text);
		exit(2);
	}
}

/* --- commands --- */

static int
run_list(struct store *store, char **arguments)
{
	struct dicom_error error;
	struct store_list *list;
	struct store_object object;
	enum dicom_status status;

	if (store_list_open(store, &list_request, &list, &error) != DICOM_OK)
		return report(&error);
	while ((status = store_list_next(list, &object, &error)) != DICOM_END)
	{
		if (status == DICOM_PENDING)
			status = store_wait(store, -1, &error);
		else if (status == DICOM_OK)
			print_object(&object);
		if (status == DICOM_FAILED)
			return report(&error);
	}
	store_list_close(list);
	return 0;
}

/* get KEY [OFFSET LENGTH]: the bytes to standard output, the object's description to standard error */
static int
run_get(struct store *store, char **arguments)
{
	uint64_t offset = arguments[1] ? strtoull(arguments[1], NULL, 10) : 0;
	size_t wanted = arguments[1] && arguments[2] ? strtoull(arguments[2], NULL, 10) : 64 * 1024 * 1024;
	struct store_read_request request = {
		.key = arguments[0], .offset = offset, .length = wanted, .if_match = if_match};
	struct store_object object;
	struct dicom_error error;
	size_t length;
	int status = 0;

	request.buffer = malloc(wanted + 1);
	if (store_read(store, &request, &length, &object, &error) != DICOM_OK)
		status = report(&error);
	else
	{
		fwrite(request.buffer, 1, length, stdout);
		fprintf(stderr, "length=%zu size=%" PRId64 " etag=%s class=%s modified=%" PRId64 "\n", length,
				(int64_t) object.size, object.etag ? object.etag : "", object.storage_class,
				object.last_modified);
	}
	free(request.buffer);
	return status;
}

static char *
read_input(size_t *length)
{
	size_t capacity = 1 << 20;
	char *bytes = malloc(capacity);
	size_t more;

	*length = 0;
	while (bytes && (more = fread(bytes + *length, 1, capacity - *length, stdin)) > 0)
	{
		*length += more;
		if (*length == capacity)
		{
			char *old = bytes;

			bytes = realloc(old, capacity *= 2);
			if (!bytes)
				free(old);
		}
	}
	if (!bytes)
	{
		perror("standard input");
		exit(2);
	}
	return bytes;
}

/* put KEY: from standard input */
static int
run_put(struct store *store, char **arguments)
{
	struct dicom_error error;
	char etag[128];
	size_t length;
	char *bytes = read_input(&length);
	enum dicom_status status;

	put_request.key = arguments[0];
	put_request.if_match = if_match;
	status = store_put(store, &put_request, bytes, length, etag, &error);
	free(bytes);
	if (status != DICOM_OK)
		return report(&error);
	printf("%s\n", etag);
	return 0;
}

/* fill PREFIX COUNT LENGTH: objects PREFIX00000 and on */
static int
run_fill(struct store *store, char **arguments)
{
	struct dicom_error error;
	size_t length = strtoull(arguments[2], NULL, 10);
	char *bytes = malloc(length + 1);
	char key[1025];
	int status = 0;
	int i;

	memset(bytes, 'x', length + 1);
	put_request.key = key;
	for (i = 0; i < atoi(arguments[1]) && status == 0; i++)
	{
		snprintf(key, sizeof(key), "%s%05d", arguments[0], i);
		if (store_put(store, &put_request, bytes, length, NULL, &error) != DICOM_OK)
			status = report(&error);
	}
	free(bytes);
	return status;
}

static int
abandon(struct store_upload *upload, const struct dicom_error *error)
{
	report(error);
	store_upload_close(upload);
	return 1;
}

/* upload KEY [give-up]: from standard input, in pieces of odd length */
static int
run_upload(struct store *store, char **arguments)
{
	struct dicom_error error;
	struct store_upload *upload;
	char etag[128];
	char piece[100003];
	size_t length;

	put_request.key = arguments[0];
	put_request.if_match = if_match;
	if (store_upload_open(store, &put_request, &upload, &error) != DICOM_OK)
		return report(&error);
	while ((length = fread(piece, 1, sizeof(piece), stdin)) > 0)
		if (store_upload_write(upload, piece, length, &error) != DICOM_OK)
			return abandon(upload, &error);
	if (!arguments[1])
	{
		if (store_upload_finish(upload, etag, &error) != DICOM_OK)
			return abandon(upload, &error);
		printf("%s\n", etag);
	}
	store_upload_close(upload);
	return 0;
}

static int
run_head(struct store *store, char **arguments)
{
	struct dicom_error error;
	struct store_object object;

	if (store_head(store, arguments[0], &object, &error) != DICOM_OK)
		return report(&error);
	print_object(&object);
	return 0;
}

static int
run_delete(struct store *store, char **arguments)
{
	struct dicom_error error;

	for (; *arguments; arguments++)
		if (store_delete(store, *arguments, &error) != DICOM_OK)
			return report(&error);
	return 0;
}

/* copy SOURCE TARGET, with -o target=LOCATION to another store; PARTSIZE as a third argument copies in parts */
static int
run_copy(struct store *store, char **arguments)
{
	struct dicom_error error;
	struct store *target = store;
	char etag[128] = "";
	enum dicom_status status;

	if (target_location)
	{
		options.location = target_location;
		if (store_open(&options, NULL, &target, &error) != DICOM_OK)
			return report(&error);
	}
	if (arguments[2])
		status = s3_copy_in_parts((struct s3_store *) store, arguments[0], if_match,
								  (struct s3_store *) target, arguments[1], put_request.storage_class,
								  strtoull(arguments[2], NULL, 10), etag, &error);
	else
		status = store_copy(store, arguments[0], if_match, target, arguments[1], put_request.storage_class,
							etag, &error);
	if (target != store)
		store_close(target);
	if (status != DICOM_OK)
		return report(&error);
	printf("%s\n", etag);
	return 0;
}

static int
run_class(struct store *store, char **arguments)
{
	struct dicom_error error;

	return store_set_storage_class(store, arguments[0], arguments[1], &error) == DICOM_OK ? 0
																						  : report(&error);
}

/* --- reading many objects side by side: read COUNT LENGTH KEY... goes through the keys until COUNT reads have been made --- */

struct reading
{
	struct store_read *read;
	char *buffer;
};

static int
start_reading(struct store *store, struct reading *reading, const char *key, size_t length)
{
	struct store_read_request request = {.key = key, .length = length, .buffer = reading->buffer};
	struct dicom_error error;

	return store_read_open(store, &request, &reading->read, &error) == DICOM_OK ? 0 : report(&error);
}

/* Takes what has been read; 1 where one was, 0 where none, -1 after a failure. */
static int
settle_reading(struct reading *reading, uint64_t *bytes)
{
	struct dicom_error error;
	size_t length;
	enum dicom_status status;

	if (!reading->read)
		return 0;
	status = store_read_result(reading->read, &length, NULL, &error);
	if (status == DICOM_PENDING)
		return 0;
	store_read_close(reading->read);
	reading->read = NULL;
	if (status == DICOM_FAILED)
		return report(&error), -1;
	*bytes += length;
	return 1;
}

static int
read_all(struct store *store, struct reading *readings, int window, long count, size_t length, char **keys,
		 uint64_t *bytes)
{
	struct dicom_error error;
	long started = 0;
	long ended = 0;
	char **key = keys;
	int i;

	while (ended < count)
	{
		for (i = 0; i < window; i++)
		{
			int settled = settle_reading(&readings[i], bytes);

			if (settled < 0)
				return 1;
			ended += settled;
			if (readings[i].read || started == count)
				continue;
			if (start_reading(store, &readings[i], *key, length))
				return 1;
			started++;
			key = key[1] ? key + 1 : keys;
		}
		if (ended < count && store_wait(store, -1, &error) != DICOM_OK)
			return report(&error);
	}
	return 0;
}

static int
run_read(struct store *store, char **arguments)
{
	long count = atol(arguments[0]);
	size_t length = strtoull(arguments[1], NULL, 10);
	int window = options.max_requests ? options.max_requests : 64;
	struct reading *readings = calloc(window, sizeof(*readings));
	uint64_t bytes = 0;
	int status;
	int i;

	for (i = 0; i < window; i++)
		readings[i].buffer = malloc(length + 1);
	status = read_all(store, readings, window, count, length, arguments + 2, &bytes);
	if (status == 0)
		printf("%ld reads, %" PRIu64 " bytes\n", count, bytes);
	for (i = 0; i < window; i++)
	{
		store_read_close(readings[i].read);
		free(readings[i].buffer);
	}
	free(readings);
	return status;
}

/* --- main --- */

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits as a database would: in slices, looking for an interrupt in between. */
static bool
wait_or_interrupt(void *arg, int fd, int timeout_ms)
{
	struct pollfd wanted = {.fd = fd, .events = POLLIN};
	int64_t left = interrupt_at - now_ms();

	if (left <= 0)
		return false;
	if (timeout_ms < 0 || timeout_ms > left)
		timeout_ms = (int) left;
	poll(&wanted, 1, timeout_ms);
	return now_ms() < interrupt_at;
}

static void
print_statistics(const struct store *store)
{
	const struct store_statistics *s = store_statistics(store);

	fprintf(stderr,
			"list=%" PRIu64 " get=%" PRIu64 " head=%" PRIu64 " put=%" PRIu64 " other=%" PRIu64
			" retries=%" PRIu64 " listed=%" PRIu64 " received=%" PRIu64 " sent=%" PRIu64 "\n",
			s->list_requests, s->get_requests, s->head_requests, s->put_requests, s->other_requests,
			s->retries, s->objects_listed, s->bytes_received, s->bytes_sent);
}

static const struct
{
	const char *name;
	int arguments; /* at least */
	int (*run)(struct store *store, char **arguments);
} commands[] = {
	{"list", 0, run_list}, {"get", 1, run_get},       {"put", 1, run_put},   {"upload", 1, run_upload},
	{"head", 1, run_head}, {"delete", 1, run_delete}, {"copy", 2, run_copy}, {"class", 2, run_class},
	{"read", 3, run_read}, {"fill", 3, run_fill},
};

static int
run_command(struct store *store, int count, char **arguments)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, arguments[0]) == 0 && count - 1 >= commands[i].arguments)
			return commands[i].run(store, arguments + 1);
	fprintf(stderr, "no such command, or too few arguments: %s\n", arguments[0]);
	return 2;
}

int
main(int argc, char **argv)
{
	struct store_host host = {0};
	struct dicom_error error;
	struct store *store;
	int status;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++)
	{
		if (strcmp(argv[i], "-s") == 0)
			want_statistics = true;
		else if (strcmp(argv[i], "-i") == 0 && i + 1 < argc)
		{
			interrupt_at = now_ms() + atoi(argv[++i]);
			host.wait = wait_or_interrupt;
		}
		else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
			set_option(argv[++i]);
	}
	if (i == argc)
		return 2;
	if (store_open(&options, &host, &store, &error) != DICOM_OK)
		return report(&error);
	status = run_command(store, argc - i, argv + i);
	if (want_statistics)
		print_statistics(store);
	store_close(store);
	return status;
}
