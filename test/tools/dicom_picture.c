/*
 * dicom_picture.c
 *	  The picture of one frame of one file, to standard output: PGM or PPM as it is before JPEG, or the JPEG.
 *
 * usage: dicom_picture [-n FRAME] [-w NUMBER | -w CENTER,WIDTH | -w pixels] [-s MAX-SIZE] [-q QUALITY] [-j] FILE
 *
 *	-n FRAME	counted from 1 (1)
 *	-w			a window of the file by its number, a window, or the range of the pixels
 *	-s			longer side at most
 *	-j			JPEG; passed through where that can be, unless -q says otherwise
 *	-q			encoded anew, with this quality
 *
 * A file without that frame gives its error on standard error, and exit status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_source.h"
#include "image/picture.h"

struct job
{
	const char *file;
	uint32_t frame; /* counted from 0 */
	bool as_jpeg;
	struct picture_options options;

	struct image_source source;
	struct dicom_window window;
	struct dicom_dataset dataset;
	struct image_pixels pixels;
	struct picture_rules *rules;
	struct image_frames *frames;
	struct dicom_error error;
};

static void
write_rows(struct picture *picture)
{
	size_t width = (size_t) picture_columns(picture) * (size_t) picture_channels(picture);
	const uint8_t *row;

	printf("P%d\n%u %u\n255\n", picture_channels(picture) == 3 ? 6 : 5, picture_columns(picture),
		   picture_rows(picture));
	while ((row = picture_next_row(picture)) != NULL)
		fwrite(row, 1, width, stdout);
}

static enum dicom_status
write_picture(struct job *job, struct image_frame *frame)
{
	struct dicom_buffer jpeg = {0};
	struct picture *picture;
	enum dicom_status status =
		picture_open(job->rules, frame, job->frame, &job->options, &picture, &job->error);

	if (status == DICOM_OK && job->as_jpeg)
		status = picture_to_jpeg(picture, &job->options, &jpeg, &job->error);
	else if (status == DICOM_OK)
		write_rows(picture);
	if (status == DICOM_OK && job->as_jpeg && fwrite(jpeg.data, 1, jpeg.length, stdout) != jpeg.length)
		status = dicom_fail(&job->error, DICOM_ERROR_IO, "cannot write: %s", strerror(errno));
	dicom_buffer_free(&jpeg);
	picture_close(picture);
	return status;
}

static bool
pass_through(struct job *job, const uint8_t *bytes, size_t length)
{
	struct dicom_buffer out = {0};
	bool passes = job->as_jpeg && picture_pass_through(job->rules, &job->pixels, job->frame, bytes, length,
													   &job->options, &out);

	if (passes)
		fwrite(out.data, 1, out.length, stdout);
	dicom_buffer_free(&out);
	return passes;
}

static enum dicom_status
make_picture(struct job *job)
{
	struct image_frame frame = {0};
	uint8_t *bytes = NULL;
	size_t length;
	enum dicom_status status = image_frames_read(job->frames, job->frame, &bytes, &length, &job->error);

	if (status == DICOM_OK && !pass_through(job, bytes, length))
	{
		status = image_decode(&job->pixels, &bytes, length, &frame, &job->error);
		free(bytes);
		bytes = NULL;
		if (status == DICOM_OK)
			status = write_picture(job, &frame);
	}
	free(bytes);
	image_frame_free(&frame);
	return status;
}

static enum dicom_status
read_file(struct job *job)
{
	dicom_window_init(&job->window, job->source.size);
	if (read_dataset(&job->source, &job->window, &job->dataset, &job->error) != DICOM_OK ||
		image_pixels_read(&job->dataset, &job->pixels, &job->error) != DICOM_OK ||
		picture_rules_open(&job->dataset, &job->pixels, &job->rules, &job->error) != DICOM_OK ||
		image_frames_open(&job->pixels, &job->source, &job->frames, &job->error) != DICOM_OK)
		return DICOM_FAILED;
	if (job->frame >= image_frames_count(job->frames))
		return dicom_fail(&job->error, DICOM_ERROR_NOT_FOUND, "no such frame");
	return make_picture(job);
}

static void
set_window(struct picture_options *options, const char *text)
{
	char *rest;

	if (strcmp(text, "pixels") == 0)
	{
		options->window = PICTURE_WINDOW_PIXELS;
		return;
	}
	options->window_center = strtod(text, &rest);
	options->window_number = (uint32_t) options->window_center;
	if (*rest == ',')
	{
		options->window = PICTURE_WINDOW_GIVEN;
		options->window_width = strtod(rest + 1, NULL);
	}
}

static bool
read_options(int argc, char **argv, struct job *job)
{
	int option;

	while ((option = getopt(argc, argv, "n:w:s:q:j")) != -1)
		switch (option)
		{
			case 'n':
				job->frame = (uint32_t) strtoul(optarg, NULL, 10) - 1;
				break;
			case 'w':
				set_window(&job->options, optarg);
				break;
			case 's':
				job->options.max_size = (uint32_t) strtoul(optarg, NULL, 10);
				break;
			case 'q':
				job->options.quality = (int) strtol(optarg, NULL, 10);
				job->options.no_pass_through = true;
				break;
			case 'j':
				job->as_jpeg = true;
				break;
			default:
				return false;
		}
	job->file = argv[optind];
	return optind + 1 == argc;
}

int
main(int argc, char **argv)
{
	struct job job = {0};
	struct stat about;
	int file;
	enum dicom_status status;

	if (!read_options(argc, argv, &job))
	{
		fprintf(stderr, "usage: dicom_picture [-n FRAME] [-w WINDOW] [-s MAX-SIZE] [-q QUALITY] [-j] FILE\n");
		return 2;
	}
	file = open(job.file, O_RDONLY);
	if (file < 0 || fstat(file, &about) != 0)
	{
		perror(job.file);
		return 2;
	}
	job.source = (struct image_source){.size = (uint64_t) about.st_size, .read = read_at, .arg = &file};
	status = read_file(&job);
	if (status != DICOM_OK)
		fprintf(stderr, "%s%s%s\n", job.error.message, job.error.hint[0] ? "; " : "", job.error.hint);
	image_frames_close(job.frames);
	picture_rules_close(job.rules);
	dicom_dataset_close(&job.dataset, false);
	dicom_window_free(&job.window);
	close(file);
	return status == DICOM_OK ? 0 : 1;
}
