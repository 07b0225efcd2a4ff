/*
 * dicom_frame.c
 *	  Decodes frames of one file.
 *
 * usage: dicom_frame [-n NUMBER | -a] [-r] FILE
 *
 *	(nothing)	one line of JSON: what the frame is, the SHA-256 of its samples, little endian, and how much memory it took
 *	-n NUMBER	this frame, counted from 1 (1)
 *	-a			all frames, a line each
 *	-r			the samples themselves, to standard output
 *
 * A file without frame gives a line with "error" and "tag", and exit status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "file_source.h"

struct options
{
	const char *file;
	uint32_t frame;
	bool all;
	bool raw;
};

static const char *const photometric_names[IMAGE_PHOTOMETRIC_COUNT] = {
	"MONOCHROME1",     "MONOCHROME2",     "PALETTE COLOR", "RGB",     "YBR_FULL", "YBR_FULL_422",
	"YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT",       "YBR_RCT", "XYB"};

static void
print_error(const struct options *options, const struct dicom_error *error)
{
	const char *name = strrchr(options->file, '/');

	printf("{\"file\": \"%s\", \"error\": \"%s\", \"tag\": \"%08x\"}\n", name ? name + 1 : options->file,
		   error->message, error->tag);
}

static void
print_frame(const struct options *options, uint32_t number, uint32_t count, const struct image_pixels *pixels,
			const struct image_frame *frame)
{
	const char *name = strrchr(options->file, '/');
	unsigned char digest[32];
	struct rusage usage;
	int i;

	EVP_Digest(frame->samples, frame->length, digest, NULL, EVP_sha256(), NULL);
	printf(
		"{\"file\": \"%s\", \"frame\": %u, \"frames\": %u, \"transfer_syntax_uid\": \"%s\", \"columns\": %u, "
		"\"rows\": %u, \"samples_per_pixel\": %u, \"sample_bytes\": %u, \"bits_stored\": %u, \"high_bit\": %u, "
		"\"signed\": %s, \"sample\": %d, \"photometric\": \"%s\", \"bytes\": %zu, \"sha256\": \"",
		name ? name + 1 : options->file, number + 1, count, pixels->transfer_syntax_uid, frame->columns,
		frame->rows, frame->samples_per_pixel, frame->sample_bytes, frame->bits_stored, frame->high_bit,
		frame->is_signed ? "true" : "false", frame->sample, photometric_names[frame->photometric],
		frame->length);
	for (i = 0; i < 32; i++)
		printf("%02x", digest[i]);
	getrusage(RUSAGE_SELF, &usage);
	printf("\", \"peak_kib\": %ld}\n", usage.ru_maxrss);
}

static enum dicom_status
decode_one(const struct options *options, const struct image_pixels *pixels, struct image_frames *frames,
		   uint32_t number, struct dicom_error *error)
{
	struct image_frame frame = {0};
	uint8_t *bytes;
	size_t length;
	enum dicom_status status = image_frames_read(frames, number, &bytes, &length, error);

	if (status == DICOM_OK)
		status = image_decode(pixels, &bytes, length, &frame, error);
	free(bytes);
	if (status == DICOM_OK && options->raw)
		fwrite(frame.samples, 1, frame.length, stdout);
	else if (status == DICOM_OK)
		print_frame(options, number, image_frames_count(frames), pixels, &frame);
	image_frame_free(&frame);
	return status;
}

static int
decode_file(const struct options *options, const struct image_source *source)
{
	struct dicom_dataset dataset = {0};
	struct dicom_window window;
	struct dicom_error error = {0};
	struct image_pixels pixels;
	struct image_frames *frames = NULL;
	enum dicom_status status;
	uint32_t number;
	int failures = 0;

	dicom_window_init(&window, source->size);
	status = read_dataset(source, &window, &dataset, &error);
	if (status == DICOM_OK)
		status = image_pixels_read(&dataset, &pixels, &error);
	dicom_dataset_close(&dataset, false);
	dicom_window_free(&window);
	if (status == DICOM_OK)
		status = image_frames_open(&pixels, source, &frames, &error);
	if (status != DICOM_OK)
	{
		print_error(options, &error);
		return 1;
	}
	for (number = options->all ? 0 : options->frame - 1;
		 number < (options->all ? image_frames_count(frames) : options->frame); number++)
		if (decode_one(options, &pixels, frames, number, &error) != DICOM_OK)
		{
			print_error(options, &error);
			failures++;
		}
	image_frames_close(frames);
	return failures ? 1 : 0;
}

int
main(int argc, char **argv)
{
	struct options options = {.frame = 1};
	struct image_source source = {.read = read_at};
	struct stat status;
	int file;
	int option;

	while ((option = getopt(argc, argv, "n:ar")) != -1)
		switch (option)
		{
			case 'n':
				options.frame = (uint32_t) strtoul(optarg, NULL, 10);
				break;
			case 'a':
				options.all = true;
				break;
			case 'r':
				options.raw = true;
				break;
			default:
				return 2;
		}
	if (optind + 1 != argc || options.frame == 0)
	{
		fprintf(stderr, "usage: dicom_frame [-n NUMBER | -a] [-r] FILE\n");
		return 2;
	}
	options.file = argv[optind];
	file = open(options.file, O_RDONLY);
	if (file < 0 || fstat(file, &status) != 0)
	{
		perror(options.file);
		return 2;
	}
	source.size = (uint64_t) status.st_size;
	source.arg = &file;
	return decode_file(&options, &source);
}
