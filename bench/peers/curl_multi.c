/*
 * curl_multi.c
 *	  Fetches the start of every URL of a file, so many at a time, and throws the bytes away: what a server gives at best.
 *
 *		curl_multi URLS IN-FLIGHT BYTES
 *
 * Prints seconds on standard error, and how many requests succeeded on standard output.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char **urls;
static size_t url_count;
static size_t next_url;
static size_t succeeded;

static void
read_urls(const char *file)
{
	FILE *stream = fopen(file, "r");
	char line[4096];

	while (stream && fgets(line, sizeof(line), stream))
	{
		line[strcspn(line, "\n")] = '\0';
		urls = realloc(urls, (url_count + 1) * sizeof(*urls));
		urls[url_count++] = strdup(line);
	}
	if (stream)
		fclose(stream);
}

static size_t
drop(char *bytes, size_t size, size_t count, void *arg)
{
	return size * count;
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

/* Gives a handle its next URL; false at the end. */
static int
start_next(CURLM *multi, CURL *handle)
{
	if (next_url == url_count)
		return 0;
	curl_easy_setopt(handle, CURLOPT_URL, urls[next_url++]);
	curl_multi_add_handle(multi, handle);
	return 1;
}

static void
start_all(CURLM *multi, long in_flight, const char *range)
{
	long i;

	for (i = 0; i < in_flight; i++)
	{
		CURL *handle = curl_easy_init();

		curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, drop);
		curl_easy_setopt(handle, CURLOPT_RANGE, range);
		if (!start_next(multi, handle))
			curl_easy_cleanup(handle);
	}
}

static void
finish_one(CURLM *multi, CURL *handle)
{
	long status = 0;

	curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
	succeeded += status == 206 || status == 200;
	curl_multi_remove_handle(multi, handle);
	if (!start_next(multi, handle))
		curl_easy_cleanup(handle);
}

int
main(int argc, char **argv)
{
	char range[64];
	CURLM *multi;
	double start;
	int running;

	if (argc != 4)
		return 2;
	read_urls(argv[1]);
	snprintf(range, sizeof(range), "0-%ld", atol(argv[3]) - 1);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	start = now();
	start_all(multi, atol(argv[2]), range);
	do
	{
		CURLMsg *message;
		int left;

		curl_multi_perform(multi, &running);
		while ((message = curl_multi_info_read(multi, &left)))
			if (message->msg == CURLMSG_DONE)
				finish_one(multi, message->easy_handle);
		curl_multi_perform(multi, &running);
		if (running)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	} while (running || next_url < url_count);
	fprintf(stderr, "%.6f\n", now() - start);
	printf("%zu\n", succeeded);
	return succeeded == url_count ? 0 : 1;
}
