/*
 * report.c
 *	  Lines, progress, and the exit status.
 */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "json_text.h"

#define LINES_FULL  ((size_t) 64 * 1024)
#define PROGRESS_MS 500

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
report_open(struct report *report)
{
	memset(report, 0, sizeof(*report));
	report->began_ms = report->shown_ms = now_ms();
}

void
report_close(struct report *report)
{
	dicom_buffer_free(&report->lines);
	dicom_buffer_free(&report->pictures);
	dicom_buffer_free(&report->errors);
}

const char *
report_error_code(const struct dicom_error *error, bool from_file)
{
	switch (error->code)
	{
		case DICOM_ERROR_NOT_DICOM:
			return "not_dicom";
		case DICOM_ERROR_MALFORMED:
			return "malformed";
		case DICOM_ERROR_LIMIT:
			return "limit";
		case DICOM_ERROR_DECODER:
			return "decoder";
		case DICOM_ERROR_NOT_FOUND:
			return from_file ? "no_pixel_data" : "not_found";
		case DICOM_ERROR_ARCHIVED:
			return "archived";
		case DICOM_ERROR_CHANGED:
			return "changed";
		case DICOM_ERROR_EXISTS:
			return "duplicate";
		case DICOM_ERROR_INVALID_OPTION:
			return "invalid_option";
		case DICOM_ERROR_NO_BUCKET:
			return "no_bucket";
		case DICOM_ERROR_CREDENTIALS:
			return "credentials";
		case DICOM_ERROR_ACCESS_DENIED:
			return "access_denied";
		case DICOM_ERROR_REGION:
			return "region";
		case DICOM_ERROR_ENDPOINT_REFUSED:
			return "endpoint_refused";
		case DICOM_ERROR_TLS:
			return "tls";
		case DICOM_ERROR_NETWORK:
			return "network";
		case DICOM_ERROR_TIMEOUT:
			return "timeout";
		case DICOM_ERROR_THROTTLED:
			return "throttled";
		case DICOM_ERROR_SERVER:
			return "server";
		case DICOM_ERROR_PROTOCOL:
			return "protocol";
		case DICOM_ERROR_IO:
			return "io";
		case DICOM_ERROR_FULL:
			return "no_space";
		case DICOM_ERROR_MEMORY:
			return "memory";
		case DICOM_ERROR_INTERRUPTED:
		case DICOM_ERROR_NONE:
			break;
	}
	return "interrupted";
}

/* --- lines --- */

/* Where the next object goes. */
static struct dicom_buffer *
begin_object(struct report *report, struct dicom_buffer *collected, const char *source)
{
	struct dicom_buffer *out = report->collects ? collected : &report->lines;

	if (report->collects && out->length > 0)
		dicom_buffer_append(out, ", ", 2);
	dicom_buffer_append_char(out, '{');
	json_append_member(out, "source", source);
	return out;
}

static void
end_object(struct report *report, struct dicom_buffer *out)
{
	dicom_buffer_append_char(out, '}');
	if (!report->collects)
		dicom_buffer_append_char(out, '\n');
	if (report->lines.length >= LINES_FULL)
		report_flush(report);
}

void
report_picture(struct report *report, const char *source, const struct picture_note *picture,
			   uint32_t microseconds, bool is_skipped)
{
	struct dicom_buffer *out = begin_object(report, &report->pictures, source);

	dicom_buffer_printf(out, ", \"frame\": %u", picture->frame);
	json_append_member(out, "key", picture->key);
	dicom_buffer_printf(out, ", \"bytes\": %llu, \"width\": %u, \"height\": %u, \"sha256\": \"%s\"",
						(unsigned long long) picture->bytes, picture->columns, picture->rows,
						picture->sha256);
	if (is_skipped)
		dicom_buffer_append_string(out, ", \"skipped\": true");
	else
		dicom_buffer_printf(out, ", \"milliseconds\": %u.%03u", microseconds / 1000, microseconds % 1000);
	end_object(report, out);
	if (is_skipped)
		report->pictures_skipped++;
	else
		report->pictures_made++;
}

void
report_failure(struct report *report, const char *source, uint32_t frame, const struct dicom_error *error,
			   bool from_file)
{
	struct dicom_buffer *out = begin_object(report, &report->errors, source);

	if (frame > 0)
		dicom_buffer_printf(out, ", \"frame\": %u", frame);
	json_append_member(out, "error", error->message);
	json_append_member(out, "error_code", report_error_code(error, from_file));
	if (error->hint[0])
		json_append_member(out, "hint", error->hint);
	if (error->tag)
		dicom_buffer_printf(out, ", \"tag\": \"(%04X,%04X)\"", error->tag >> 16, error->tag & 0xFFFF);
	if (error->offset >= 0)
		dicom_buffer_printf(out, ", \"offset\": %lld", (long long) error->offset);
	if (error->attempts > 1)
		dicom_buffer_printf(out, ", \"attempts\": %d", error->attempts);
	end_object(report, out);
}

static void
write_all(struct report *report, const char *bytes, size_t length)
{
	while (length > 0 && !report->is_broken)
	{
		ssize_t written = write(STDOUT_FILENO, bytes, length);

		if (written < 0 && errno != EINTR)
			report->is_broken = true;
		bytes += written > 0 ? written : 0;
		length -= written > 0 ? (size_t) written : 0;
	}
}

static void
show_progress(struct report *report, int64_t now, const char *end)
{
	double seconds = (double) (now - report->began_ms) / 1000;

	fprintf(stderr, "\r%llu pictures (%.0f/s), %llu files failed, %llu skipped\033[K%s",
			(unsigned long long) report->pictures_made,
			seconds > 0 ? (double) report->pictures_made / seconds : 0,
			(unsigned long long) report->sources_failed, (unsigned long long) report->sources_skipped, end);
	report->shown_ms = now;
}

void
report_flush(struct report *report)
{
	int64_t now;

	if (report->lines.length > 0)
		write_all(report, report->lines.data, report->lines.length);
	dicom_buffer_reset(&report->lines);
	if (!report->shows_progress)
		return;
	now = now_ms();
	if (now - report->shown_ms >= PROGRESS_MS)
		show_progress(report, now, "");
}

void
report_end(struct report *report)
{
	report_flush(report);
	if (report->shows_progress)
		show_progress(report, now_ms(), "\n");
}

void
report_event(struct report *report)
{
	struct dicom_buffer *out = &report->lines;

	dicom_buffer_reset(out);
	dicom_buffer_printf(out, "{\"compressed\": %llu, \"failed\": %llu, \"skipped\": %llu, \"frames\": [",
						(unsigned long long) (report->sources_good - report->sources_skipped),
						(unsigned long long) report->sources_failed,
						(unsigned long long) report->sources_skipped);
	dicom_buffer_append(out, report->pictures.data, report->pictures.length);
	dicom_buffer_append_string(out, "], \"errors\": [");
	dicom_buffer_append(out, report->errors.data, report->errors.length);
	dicom_buffer_append_string(out, "]}\n");
	report_flush(report);
}

int
report_status(const struct report *report)
{
	if (report->sources_failed == 0)
		return 0;
	return report->sources_good > 0 || report->pictures_made > 0 ? 1 : 2;
}
