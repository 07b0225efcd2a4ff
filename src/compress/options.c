/*
 * options.c
 *	  The command line.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "descriptors.h"

#define MAX_JOBS     1024
#define MEMORY_LEAST ((uint64_t) 512 << 20)

enum option_code
{
	OPTION_CREDENTIALS = 256,
	OPTION_ENDPOINT,
	OPTION_EVENT,
	OPTION_FILES_FROM,
	OPTION_FRAMES,
	OPTION_KEY,
	OPTION_MAX_SIZE,
	OPTION_MEMORY,
	OPTION_OVERWRITE,
	OPTION_PROFILE,
	OPTION_PROGRESS,
	OPTION_REGION,
	OPTION_RETRIES,
	OPTION_STATE,
	OPTION_STORES,
	OPTION_SUBSAMPLING,
	OPTION_TIMEOUT,
	OPTION_TLS_CA,
	OPTION_URL_STYLE,
	OPTION_WINDOW
};

static const struct option long_options[] = {
	{"credentials", required_argument, NULL, OPTION_CREDENTIALS},
	{"endpoint", required_argument, NULL, OPTION_ENDPOINT},
	{"event", no_argument, NULL, OPTION_EVENT},
	{"files-from", required_argument, NULL, OPTION_FILES_FROM},
	{"frames", required_argument, NULL, OPTION_FRAMES},
	{"help", no_argument, NULL, 'h'},
	{"jobs", required_argument, NULL, 'j'},
	{"key", required_argument, NULL, OPTION_KEY},
	{"max-size", required_argument, NULL, OPTION_MAX_SIZE},
	{"memory", required_argument, NULL, OPTION_MEMORY},
	{"output", required_argument, NULL, 'o'},
	{"overwrite", no_argument, NULL, OPTION_OVERWRITE},
	{"profile", required_argument, NULL, OPTION_PROFILE},
	{"progress", required_argument, NULL, OPTION_PROGRESS},
	{"quality", required_argument, NULL, 'q'},
	{"region", required_argument, NULL, OPTION_REGION},
	{"retries", required_argument, NULL, OPTION_RETRIES},
	{"state", required_argument, NULL, OPTION_STATE},
	{"stores", required_argument, NULL, OPTION_STORES},
	{"subsampling", required_argument, NULL, OPTION_SUBSAMPLING},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"tls-ca", required_argument, NULL, OPTION_TLS_CA},
	{"url-style", required_argument, NULL, OPTION_URL_STYLE},
	{"version", no_argument, NULL, 'V'},
	{"window", required_argument, NULL, OPTION_WINDOW},
	{NULL, 0, NULL, 0},
};

static const char help[] =
	"Makes JPEG pictures of DICOM files, one of each frame.\n"
	"\n"
	"usage: dicompress --output URL [OPTION]... SOURCE...\n"
	"       dicompress --event <EVENT.json\n"
	"\n"
	"SOURCE is s3://bucket/key, file:///path or a path; all that lies below, where it ends in a slash; or - for a list\n"
	"on standard input: a source in each line, or a JSON object {\"source\": URL, \"key\": TEMPLATE, \"etag\": ETAG,\n"
	"\"frames\": \"1-3,7\"}, of which only the source must be there.\n"
	"\n"
	"What to make\n"
	"  -o, --output URL        s3://bucket/prefix/ or a directory\n"
	"      --key TEMPLATE      names of pictures, made of attributes and the frame's number\n"
	"                          (" DEFAULT_KEY ")\n"
	"      --frames LIST       such as 1-3,7 or 12- (all)\n"
	"  -q, --quality N         1 to 100 (90)\n"
	"      --subsampling S     of colours: 420, 422 or 444 (420)\n"
	"      --max-size N        scale pictures down whose longer side has more pixels than this\n"
	"      --window W          file, file:N for the Nth of the file, pixels for their range, or CENTER,WIDTH (file)\n"
	"      --overwrite         make pictures that are there already\n"
	"      --state URL|none    where it is noted what is done (.dicompress/ below the output)\n"
	"      --files-from FILE   more sources, a list as above\n"
	"\n"
	"How to work\n"
	"  -j, --jobs N            decoding processes (as many as the machine has processors)\n"
	"      --memory SIZE       address space of each, such as 2GB (an even share of the machine's memory)\n"
	"      --timeout SECONDS   without progress, until one is stopped (10)\n"
	"      --progress WHEN     auto (on a terminal) or never\n"
	"\n"
	"Stores\n"
	"      --endpoint URL, --region NAME, --url-style auto|path|virtual, --tls-ca FILE, --retries N\n"
	"      --credentials auto|environment|profile|instance|anonymous, --profile NAME\n"
	"      --stores FILE|fd:N  instead of these, for each location: a JSON array of {\"location\": URL, \"endpoint\": ...,\n"
	"                          \"access_key_id\": ..., \"secret_access_key\": ...}; no other location is used then\n"
	"\n"
	"Standard output is a line of JSON for each picture, and for each source that gave none.\n"
	"Exit status: 0 all sources gave their pictures, 1 some did not, 2 none did, or nothing could be begun.\n";

void
options_print_help(FILE *out)
{
	fputs(help, out);
}

/* --- values --- */

static enum dicom_status
fail(struct dicom_error *error, const char *name, const char *expected)
{
	dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "option %s makes no sense", name);
	return dicom_hint(error, "%s", expected);
}

static enum dicom_status
read_integer(const char *name, const char *text, int64_t least, int64_t most, int64_t *value,
			 struct dicom_error *error)
{
	char expected[80];
	char *end;

	errno = 0;
	*value = strtoll(text, &end, 10);
	if (errno == 0 && end > text && *end == '\0' && *value >= least && *value <= most)
		return DICOM_OK;
	snprintf(expected, sizeof(expected), "a number from %" PRId64 " to %" PRId64, least, most);
	return fail(error, name, expected);
}

static enum dicom_status
read_int(const char *name, const char *text, int least, int most, int *value, struct dicom_error *error)
{
	int64_t number;

	if (read_integer(name, text, least, most, &number, error) != DICOM_OK)
		return DICOM_FAILED;
	*value = (int) number;
	return DICOM_OK;
}

/* Bytes, with or without kB, MB or GB. */
static enum dicom_status
read_size(const char *name, const char *text, uint64_t least, uint64_t *value, struct dicom_error *error)
{
	static const char *const units[] = {"", "kB", "MB", "GB", "TB"};
	char *end;
	size_t i;

	errno = 0;
	*value = strtoull(text, &end, 10);
	for (i = 0; errno == 0 && end > text && *text != '-' && i < sizeof(units) / sizeof(*units); i++)
		if (strcasecmp(end, units[i]) == 0 && *value <= UINT64_MAX >> (10 * i))
		{
			*value <<= 10 * i;
			if (*value >= least)
				return DICOM_OK;
		}
	return fail(error, name, "a size of 512MB or more");
}

/* The position of a word in a list, -1 where it is not in it. */
static int
find_word(const char *text, const char *const *words)
{
	int i;

	for (i = 0; words[i]; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	return -1;
}

static enum dicom_status
read_word(const char *name, const char *text, const char *const *words, const char *expected, int *value,
		  struct dicom_error *error)
{
	*value = find_word(text, words);
	return *value >= 0 ? DICOM_OK : fail(error, name, expected);
}

enum dicom_status
options_set_subsampling(struct options *options, const char *text, struct dicom_error *error)
{
	static const char *const words[] = {"420", "422", "444", NULL};
	int value;

	if (read_word("subsampling", text, words, "420, 422 or 444", &value, error) != DICOM_OK)
		return DICOM_FAILED;
	options->picture.subsampling = (enum picture_subsampling) value;
	return DICOM_OK;
}

enum dicom_status
options_set_quality(struct options *options, int64_t quality, struct dicom_error *error)
{
	if (quality < 1 || quality > 100)
		return fail(error, "quality", "a number from 1 to 100");
	options->picture.quality = (int) quality;
	return DICOM_OK;
}

enum dicom_status
options_set_window(struct options *options, const char *text, struct dicom_error *error)
{
	static const char expected[] = "file, file:N, pixels, or CENTER,WIDTH with a width above 0";
	struct picture_options *picture = &options->picture;
	char *end;
	int64_t number = 1;

	options->window = text;
	picture->window = PICTURE_WINDOW_FILE;
	picture->window_number = 0;
	if (strcmp(text, "file") == 0)
		return DICOM_OK;
	if (strncmp(text, "file:", 5) == 0)
	{
		if (read_integer("window", text + 5, 1, UINT32_MAX, &number, error) != DICOM_OK)
			return DICOM_FAILED;
		picture->window_number = (uint32_t) number;
		return DICOM_OK;
	}
	if (strcmp(text, "pixels") == 0)
	{
		picture->window = PICTURE_WINDOW_PIXELS;
		return DICOM_OK;
	}
	picture->window = PICTURE_WINDOW_GIVEN;
	picture->window_center = strtod(text, &end);
	if (end == text || *end != ',')
		return fail(error, "window", expected);
	text = end + 1;
	picture->window_width = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(picture->window_center) ||
		!isfinite(picture->window_width) || picture->window_width <= 0)
		return fail(error, "window", expected);
	return DICOM_OK;
}

static enum dicom_status
set_store_option(struct options *options, int option, const char *text, struct dicom_error *error)
{
	static const char *const sources[] = {"auto",     "mapping",   "environment", "profile",
										  "instance", "anonymous", NULL};
	static const char *const styles[] = {"auto", "path", "virtual", NULL};
	struct store_options *store = &options->store;
	int value = 0;

	switch (option)
	{
		case OPTION_ENDPOINT:
			store->endpoint = text;
			return DICOM_OK;
		case OPTION_REGION:
			store->region = text;
			return DICOM_OK;
		case OPTION_PROFILE:
			store->profile = text;
			return DICOM_OK;
		case OPTION_TLS_CA:
			store->tls_ca = text;
			return DICOM_OK;
		case OPTION_RETRIES:
			return read_int("retries", text, 0, 100, &store->max_retries, error);
		case OPTION_URL_STYLE:
			if (read_word("url-style", text, styles, "auto, path or virtual", &value, error) != DICOM_OK)
				return DICOM_FAILED;
			store->url_style = (enum store_url_style) value;
			return DICOM_OK;
		default:
			if (read_word("credentials", text, sources, "auto, environment, profile, instance or anonymous",
						  &value, error) != DICOM_OK)
				return DICOM_FAILED;
			store->credentials = (enum store_credentials_source) value;
			return DICOM_OK;
	}
}

static enum dicom_status
set_number(struct options *options, int option, const char *text, struct dicom_error *error)
{
	int64_t number;

	switch (option)
	{
		case 'q':
			if (read_integer("quality", text, 1, 100, &number, error) != DICOM_OK)
				return DICOM_FAILED;
			return options_set_quality(options, number, error);
		case 'j':
			return read_int("jobs", text, 1, MAX_JOBS, &options->jobs, error);
		case OPTION_TIMEOUT:
			if (read_integer("timeout", text, 1, 86400, &number, error) != DICOM_OK)
				return DICOM_FAILED;
			options->timeout_ms = (int) number * 1000;
			return DICOM_OK;
		case OPTION_MAX_SIZE:
			if (read_integer("max-size", text, 1, UINT32_MAX, &number, error) != DICOM_OK)
				return DICOM_FAILED;
			options->picture.max_size = (uint32_t) number;
			return DICOM_OK;
		default:
			return read_size("memory", text, MEMORY_LEAST, &options->memory, error);
	}
}

static enum dicom_status
set_option(struct options *options, int option, const char *text, struct dicom_error *error)
{
	static const char *const progress[] = {"never", "auto", NULL};
	int value;

	switch (option)
	{
		case 'h':
			options->is_help = true;
			return DICOM_OK;
		case 'V':
			options->is_version = true;
			return DICOM_OK;
		case 'o':
			options->output = text;
			return DICOM_OK;
		case OPTION_EVENT:
			options->is_event = true;
			return DICOM_OK;
		case OPTION_FILES_FROM:
			options->files_from = text;
			return DICOM_OK;
		case OPTION_FRAMES:
			options->frames = text;
			return DICOM_OK;
		case OPTION_KEY:
			options->key = text;
			return DICOM_OK;
		case OPTION_OVERWRITE:
			options->overwrite = true;
			return DICOM_OK;
		case OPTION_STATE:
			options->state = text;
			return DICOM_OK;
		case OPTION_STORES:
			options->stores = text;
			return DICOM_OK;
		case OPTION_SUBSAMPLING:
			return options_set_subsampling(options, text, error);
		case OPTION_WINDOW:
			return options_set_window(options, text, error);
		case OPTION_PROGRESS:
			if (read_word("progress", text, progress, "auto or never", &value, error) != DICOM_OK)
				return DICOM_FAILED;
			options->shows_progress = value == 1 && isatty(STDERR_FILENO);
			return DICOM_OK;
		case 'q':
		case 'j':
		case OPTION_TIMEOUT:
		case OPTION_MAX_SIZE:
		case OPTION_MEMORY:
			return set_number(options, option, text, error);
		default:
			return set_store_option(options, option, text, error);
	}
}

/* --- */

/* As many as there are processors, or as open files allow. */
static int
default_jobs(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t allowed = descriptors_allowed();
	uint64_t most = allowed > DESCRIPTORS_BESIDES ? (allowed - DESCRIPTORS_BESIDES) / DESCRIPTORS_LEAST : 0;
	int jobs = processors < 1 ? 1 : processors > MAX_JOBS ? MAX_JOBS : (int) processors;

	return most < 1 ? 1 : (uint64_t) jobs > most ? (int) most : jobs;
}

void
options_default(struct options *options)
{
	memset(options, 0, sizeof(*options));
	options->key = DEFAULT_KEY;
	options->jobs = default_jobs();
	options->timeout_ms = 10000;
	options->shows_progress = isatty(STDERR_FILENO);
	options->picture.quality = DEFAULT_QUALITY;
	options->window = "file";
	options->store.allow_ambient = true;
	options->store.max_retries = -1;
}

/* What could be found wrong only at the first file is found wrong at once. */
enum dicom_status
options_check(const struct options *options, struct dicom_error *error)
{
	struct frame_set frames;
	struct template *key;

	if (options->output == NULL || *options->output == '\0')
		return fail(error, "output",
					"say where the pictures go: --output s3://bucket/prefix/ or a directory");
	if (template_parse(options->key, &key, error) != DICOM_OK)
		return DICOM_FAILED;
	template_free(key);
	if (frame_set_parse(options->frames, &frames, error) != DICOM_OK)
		return DICOM_FAILED;
	frame_set_free(&frames);
	return DICOM_OK;
}

enum dicom_status
options_parse(int argc, char **argv, struct options *options, struct dicom_error *error)
{
	int option;

	options_default(options);
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":hj:o:q:V", long_options, NULL)) != -1)
	{
		if (option == '?' || option == ':')
		{
			dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
					   option == '?' ? "no such option: %s" : "option %s needs a value", argv[optind - 1]);
			return dicom_hint(error, "dicompress --help lists them");
		}
		if (set_option(options, option, optarg, error) != DICOM_OK)
			return DICOM_FAILED;
	}
	options->sources = (const char **) argv + optind;
	options->source_count = argc - optind;
	if (options->is_help || options->is_version || options->is_event)
		return DICOM_OK;
	if (options->source_count == 0 && options->files_from == NULL)
	{
		dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "no source is given");
		return dicom_hint(error, "dicompress --help says what a source is");
	}
	return options_check(options, error);
}

void
options_fingerprint(const struct options *options, const char *key, const char *frames,
					struct dicom_buffer *out)
{
	dicom_buffer_printf(out, "2 quality=%d subsampling=%d max-size=%u window=%s frames=%s key=%s",
						options->picture.quality, (int) options->picture.subsampling,
						options->picture.max_size, options->window, frames ? frames : "", key);
}
