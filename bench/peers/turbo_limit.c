/*
 * turbo_limit.c
 *	  How many JPEGs libjpeg-turbo alone makes in a second: pixels of 8 bits lie in memory, results are thrown away.
 *
 *		turbo_limit [-c] [-r] PIXELS WIDTH HEIGHT COUNT QUALITY THREADS
 *
 * PIXELS holds the rows of one picture or more, one behind the other; COUNT of them are encoded, from the first on, again and again. Each
 * thread keeps its compressor and its room for the result. Prints pictures per second and bytes per picture.
 *	-c	three channels, RGB, encoded as 4:2:0; else grey
 *	-r	grey rows as raw data, which spares a copy inside of libjpeg: what few programs do
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jpeglib.h>

#define MOST_THREADS 256

static struct
{
	JSAMPLE *pixels;
	size_t pictures;
	unsigned width, height;
	int channels, quality;
	bool is_raw;
	long count;
} work;

static atomic_long next_picture;
static atomic_long bytes_made;

static size_t
picture_size(void)
{
	return (size_t) work.width * work.height * (size_t) work.channels;
}

static void
write_rows(struct jpeg_compress_struct *compress, JSAMPROW *rows)
{
	unsigned done = 0;

	while (work.is_raw && done < work.height)
	{
		JSAMPARRAY component = rows + done;

		done += jpeg_write_raw_data(compress, &component, DCTSIZE);
	}
	while (done < work.height)
		done += jpeg_write_scanlines(compress, rows + done, work.height - done);
}

static unsigned long
encode(struct jpeg_compress_struct *compress, JSAMPLE *pixels, JSAMPROW *rows, unsigned char *room,
	   unsigned long size)
{
	unsigned char *out = room;
	unsigned y;

	for (y = 0; y < work.height; y++)
		rows[y] = pixels + (size_t) y * work.width * (size_t) work.channels;
	jpeg_mem_dest(compress, &out, &size);
	compress->image_width = work.width;
	compress->image_height = work.height;
	compress->input_components = work.channels;
	compress->in_color_space = work.channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
	jpeg_set_defaults(compress);
	jpeg_set_quality(compress, work.quality, TRUE);
	compress->raw_data_in = work.is_raw;
	jpeg_start_compress(compress, TRUE);
	write_rows(compress, rows);
	jpeg_finish_compress(compress);
	return size;
}

static void *
encode_some(void *arg)
{
	struct jpeg_compress_struct compress;
	struct jpeg_error_mgr errors;
	size_t size = 2 * picture_size() + 65536;
	unsigned char *room = malloc(size);
	JSAMPROW *rows = malloc(work.height * sizeof(*rows));
	long number;

	compress.err = jpeg_std_error(&errors);
	jpeg_create_compress(&compress);
	while (room && rows && (number = atomic_fetch_add(&next_picture, 1)) < work.count)
	{
		JSAMPLE *pixels = work.pixels + (size_t) number % work.pictures * picture_size();

		atomic_fetch_add(&bytes_made, (long) encode(&compress, pixels, rows, room, size));
	}
	jpeg_destroy_compress(&compress);
	free(rows);
	free(room);
	return NULL;
}

static bool
read_pixels(const char *name)
{
	FILE *file = fopen(name, "rb");
	struct stat about;

	if (!file || fstat(fileno(file), &about) != 0)
		return false;
	work.pictures = (size_t) about.st_size / picture_size();
	work.pixels = malloc((size_t) about.st_size);
	if (work.pictures == 0 || !work.pixels ||
		fread(work.pixels, 1, (size_t) about.st_size, file) != (size_t) about.st_size)
		work.pictures = 0;
	fclose(file);
	return work.pictures > 0;
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void
run(int threads)
{
	pthread_t ids[MOST_THREADS];
	double begin = now();
	int i;

	for (i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, encode_some, NULL) != 0)
			exit(1);
	for (i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	printf("%.1f pictures per second, %ld bytes each\n", (double) work.count / (now() - begin),
		   atomic_load(&bytes_made) / work.count);
}

int
main(int argc, char **argv)
{
	int threads;
	int option;

	work.channels = 1;
	while ((option = getopt(argc, argv, "cr")) != -1)
	{
		work.channels = option == 'c' ? 3 : work.channels;
		work.is_raw = option == 'r' ? true : work.is_raw;
	}
	if (argc - optind != 6)
	{
		fprintf(stderr, "usage: turbo_limit [-c] [-r] PIXELS WIDTH HEIGHT COUNT QUALITY THREADS\n");
		return 2;
	}
	work.width = (unsigned) strtoul(argv[optind + 1], NULL, 10);
	work.height = (unsigned) strtoul(argv[optind + 2], NULL, 10);
	work.count = strtol(argv[optind + 3], NULL, 10);
	work.quality = (int) strtol(argv[optind + 4], NULL, 10);
	threads = (int) strtol(argv[optind + 5], NULL, 10);
	work.is_raw =
		work.is_raw && work.channels == 1 && work.width % DCTSIZE == 0 && work.height % DCTSIZE == 0;
	if (work.width < 1 || work.height < 1 || work.count < 1 || threads < 1 || threads > MOST_THREADS ||
		!read_pixels(argv[optind]))
	{
		fprintf(stderr, "turbo_limit: %s does not hold a picture of that size\n", argv[optind]);
		return 1;
	}
	run(threads);
	return 0;
}
