/*
 * test_child.c
 *	  What a parent believes of what its child says, and that both ends understand each other in whatever pieces it comes.
 */
#include "unit.h"

#include <fcntl.h>

#include "fake_child.h"

struct pair
{
	struct child *child;
	struct message_channel other;
	struct child_event event;
	struct dicom_error error;
};

static const char *const attributes[] = {"patient_name", "modality"};
static const struct child_range ranges[] = {{2, 3}, {7, 7}};

static void
open_pair(struct pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	pair->child = fake_child(&pair->other);
}

static void
close_pair(struct pair *pair)
{
	child_close(pair->child);
	message_close(&pair->other);
}

static void
submit(struct pair *pair, uint64_t id, uint64_t size, int frame_count)
{
	struct child_job job = {
		.id = id, .size = size, .descriptor = -1, .output = -1, .frames = ranges, .frame_count = frame_count};

	job.attributes = attributes;
	job.attribute_count = 2;
	CHECK(child_submit(pair->child, &job, &pair->error) == DICOM_OK);
	child_flush(pair->child);
}

static struct message_channel *
begin(struct pair *pair, enum message_type type, uint64_t id)
{
	message_begin(&pair->other, type);
	message_put_64(&pair->other, id);
	return &pair->other;
}

static void
end(struct pair *pair, const char *bulk, size_t length)
{
	CHECK(message_end(&pair->other, bulk, length, NULL) == DICOM_OK);
	CHECK(message_flush(&pair->other, NULL) == DICOM_OK);
}

static void
say_hello(struct pair *pair, uint32_t version)
{
	message_begin(&pair->other, MESSAGE_HELLO);
	message_put_32(&pair->other, version);
	end(pair, NULL, 0);
}

static void
say_header(struct pair *pair, uint64_t id, uint32_t frames)
{
	struct message_channel *out = begin(pair, MESSAGE_HEADER, id);

	message_put_32(out, frames);
	message_put_32(out, 4);
	message_put_32(out, 2);
	message_put_string(out, "1.2.840.10008.1.2.1");
	message_put_bytes(out, "ISO_IR 192", 10);
	message_put_8(out, CHILD_VALUE_PERSON);
	message_put_bytes(out, "Doe^John", 8);
	message_put_8(out, CHILD_VALUE_ASCII);
	message_put_bytes(out, "CT", 2);
	end(pair, NULL, 0);
}

static void
say_picture(struct pair *pair, uint64_t id, uint32_t frame, uint32_t columns, const char *bytes,
			size_t length)
{
	struct message_channel *out = begin(pair, MESSAGE_PICTURE, id);

	message_put_32(out, frame);
	message_put_32(out, columns);
	message_put_32(out, 2);
	message_put_8(out, 1);
	message_put_8(out, 0);
	message_put_32(out, 1234);
	message_put_64(out, 0);
	message_put_string(out, "");
	end(pair, bytes, length);
}

/* The same of a picture that went into the job's output. */
static void
say_written(struct pair *pair, uint64_t id, uint32_t frame, uint64_t length, const char *sha256)
{
	struct message_channel *out = begin(pair, MESSAGE_PICTURE, id);

	message_put_32(out, frame);
	message_put_32(out, 4);
	message_put_32(out, 2);
	message_put_8(out, 1);
	message_put_8(out, 0);
	message_put_32(out, 1234);
	message_put_64(out, length);
	message_put_string(out, sha256);
	end(pair, NULL, 0);
}

static void
say_done(struct pair *pair, uint64_t id)
{
	begin(pair, MESSAGE_DONE, id);
	end(pair, NULL, 0);
}

static enum dicom_status
next(struct pair *pair)
{
	return child_next(pair->child, &pair->event, &pair->error);
}

static bool
next_is(struct pair *pair, enum child_event_kind kind, uint64_t id)
{
	return next(pair) == DICOM_OK && pair->event.kind == kind && pair->event.job == id;
}

/* The child is dead, for having lied, and by what job. */
static void
check_liar(struct pair *pair, uint64_t id)
{
	uint64_t fault = 0;

	CHECK(next(pair) == DICOM_FAILED);
	CHECK(pair->error.code == DICOM_ERROR_DECODER);
	CHECK(child_end(pair->child) == CHILD_BROKE_PROTOCOL);
	CHECK(child_job_at_fault(pair->child, &fault) == (id > 0) && fault == id);
	CHECK(next(pair) == DICOM_FAILED);
	close_pair(pair);
}

UNIT_TEST(child_job)
{
	struct pair pair;
	struct message message;
	struct message_reader reader;

	open_pair(&pair);
	submit(&pair, 5, 1000, 2);
	CHECK(message_receive(&pair.other, &message, NULL) == DICOM_OK && message.type == MESSAGE_JOB);
	message_read(&reader, &message);
	CHECK(message_get_64(&reader) == 5 && message_get_64(&reader) == 1000);
	CHECK(next(&pair) == DICOM_PENDING);
	CHECK(child_timeout(pair.child) > 9000);
	say_hello(&pair, MESSAGE_VERSION);
	say_header(&pair, 5, 9);
	CHECK(next_is(&pair, CHILD_HEADER, 5));
	CHECK(pair.event.frames == 9 && pair.event.columns == 4 && pair.event.value_count == 2);
	CHECK_TEXT((const char *) pair.event.values[0].bytes, pair.event.values[0].length, "Doe^John");
	CHECK_TEXT((const char *) pair.event.charset, pair.event.charset_length, "ISO_IR 192");
	say_picture(&pair, 5, 2, 4, "jpeg", 4);
	CHECK(next_is(&pair, CHILD_PICTURE, 5) && pair.event.frame == 2 && pair.event.microseconds == 1234);
	CHECK_TEXT(pair.event.picture->data, pair.event.picture->length, "jpeg");
	say_picture(&pair, 5, 7, 4, "more", 4);
	say_done(&pair, 5);
	CHECK(next_is(&pair, CHILD_PICTURE, 5) && pair.event.frame == 7);
	CHECK(next_is(&pair, CHILD_DONE, 5));
	CHECK(child_jobs(pair.child) == 0);
	CHECK(next(&pair) == DICOM_PENDING);
	CHECK(child_timeout(pair.child) == -1);
	close_pair(&pair);
}

/* As many jobs as there may be, and no more. Failures are of a frame, or of a job. */
UNIT_TEST(child_queue)
{
	struct child_job more = {.id = 9, .size = 1, .descriptor = dup(0), .output = dup(0)};
	struct dicom_error reason;
	struct pair pair;
	int i;

	open_pair(&pair);
	for (i = 0; i < CHILD_QUEUE; i++)
		submit(&pair, 5 + (uint64_t) i, 1000, 0);
	CHECK(child_submit(pair.child, &more, &pair.error) == DICOM_FAILED);
	CHECK(fcntl(more.descriptor, F_GETFD) < 0);
	CHECK(fcntl(more.output, F_GETFD) < 0);
	say_hello(&pair, MESSAGE_VERSION);
	say_header(&pair, 5, 2);
	CHECK(next_is(&pair, CHILD_HEADER, 5));
	dicom_fail(&reason, DICOM_ERROR_MALFORMED, "broken\nframe \xff");
	reason.tag = 0x7FE00010;
	begin(&pair, MESSAGE_FRAME_FAILED, 5);
	message_put_32(&pair.other, 1);
	message_put_error(&pair.other, &reason);
	end(&pair, NULL, 0);
	CHECK(next_is(&pair, CHILD_FRAME_FAILED, 5) && pair.event.frame == 1);
	CHECK(pair.event.error.code == DICOM_ERROR_MALFORMED && pair.event.error.tag == 0x7FE00010);
	CHECK_STRING(pair.event.error.message, "broken?frame ?");
	begin(&pair, MESSAGE_FAILED, 5);
	message_put_error(&pair.other, &reason);
	end(&pair, NULL, 0);
	CHECK(next_is(&pair, CHILD_FAILED, 5) && child_jobs(pair.child) == CHILD_QUEUE - 1);
	say_header(&pair, 6, 1);
	CHECK(next_is(&pair, CHILD_HEADER, 6));
	close_pair(&pair);
}

/* Descriptors go with their jobs, of the object and of the output, as many as jobs may have, in one message or in several. */
UNIT_TEST(child_descriptors)
{
	struct pair pair;
	struct message message;
	int i;

	open_pair(&pair);
	for (i = 0; i < CHILD_QUEUE; i++)
	{
		struct child_job job = {.id = (uint64_t) i, .size = 1, .output = -1};
		char letter = (char) ('a' + i);
		int ends[2];

		CHECK(pipe(ends) == 0);
		CHECK(write(ends[1], &letter, 1) == 1);
		job.descriptor = ends[0];
		if (i == 1)
			close(ends[1]);
		else
			job.output = ends[1];
		CHECK(child_submit(pair.child, &job, &pair.error) == DICOM_OK);
		if (i == 0)
			child_flush(pair.child);
	}
	child_flush(pair.child);
	for (i = 0; i < CHILD_QUEUE; i++)
	{
		char letter = 0;
		int fd;

		CHECK(message_receive(&pair.other, &message, NULL) == DICOM_OK);
		fd = message_take_descriptor(&pair.other);
		CHECK(fd >= 0 && read(fd, &letter, 1) == 1);
		CHECK(letter == 'a' + i);
		if (i != 1)
		{
			int output = message_take_descriptor(&pair.other);

			CHECK(write(output, "z", 1) == 1 && read(fd, &letter, 1) == 1 && letter == 'z');
			close(output);
		}
		close(fd);
	}
	CHECK(message_take_descriptor(&pair.other) == -1);
	close_pair(&pair);
}

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* One picture may go into the output of the job, and only where it has one. */
UNIT_TEST(child_outputs)
{
	static const struct
	{
		bool has_output;
		uint64_t length;
		const char *sha256;
	} lies[] = {{false, 10, DIGEST},
				{true, 10, ""},
				{true, 10, "0123"},
				{true, 0, DIGEST},
				{true, UINT64_C(1) << 40, DIGEST},
				{true, 10, "X123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}};
	size_t i;

	for (i = 0; i <= sizeof(lies) / sizeof(*lies); i++)
	{
		bool is_lie = i < sizeof(lies) / sizeof(*lies);
		struct child_job job = {.id = 5,
								.size = 1000,
								.descriptor = -1,
								.output = -1,
								.attributes = attributes,
								.attribute_count = 2};
		struct pair pair;

		open_pair(&pair);
		if (!is_lie || lies[i].has_output)
			job.output = dup(0);
		CHECK(child_submit(pair.child, &job, &pair.error) == DICOM_OK);
		say_hello(&pair, MESSAGE_VERSION);
		say_header(&pair, 5, 3);
		CHECK(next_is(&pair, CHILD_HEADER, 5));
		if (is_lie)
			say_written(&pair, 5, 1, lies[i].length, lies[i].sha256);
		else
		{
			say_written(&pair, 5, 1, 10, DIGEST);
			CHECK(next_is(&pair, CHILD_PICTURE, 5) && pair.event.written == 10 &&
				  pair.event.picture->length == 0);
			CHECK_STRING(pair.event.sha256, DIGEST);
			say_written(&pair, 5, 2, 10, DIGEST);
		}
		CHECK(next(&pair) == DICOM_FAILED && child_end(pair.child) == CHILD_BROKE_PROTOCOL);
		close_pair(&pair);
	}
}

/* Takes all the data that is in the socket. */
static size_t
drain(struct pair *pair, char *bytes, size_t room)
{
	struct message message = {.type = MESSAGE_DATA};
	size_t taken = 0;
	size_t got;

	while (pair->other.bulk_left > 0 || message_receive(&pair->other, &message, NULL) == DICOM_OK)
	{
		CHECK(message.type == MESSAGE_DATA);
		if (message_take_bulk(&pair->other, bytes + taken, room - taken, &got, NULL) != DICOM_OK)
			break;
		taken += got;
	}
	return taken;
}

/* Bytes of the object go out in pieces, as there is room; the parent is told of room even if child_next() has made it. */
UNIT_TEST(child_supplies)
{
	const size_t length = (size_t) 4 << 20;
	char *bytes = malloc(length);
	char *came = malloc(length);
	size_t given = 0;
	size_t taken = 0;
	struct pair pair;
	struct message message;
	size_t i;

	for (i = 0; i < length; i++)
		bytes[i] = (char) (i * 7 + i / 253);
	open_pair(&pair);
	submit(&pair, 5, length, 0);
	say_hello(&pair, MESSAGE_VERSION);
	begin(&pair, MESSAGE_READ, 5);
	message_put_64(&pair.other, 0);
	message_put_64(&pair.other, length);
	end(&pair, NULL, 0);
	CHECK(next_is(&pair, CHILD_READ, 5) && pair.event.length == length);
	CHECK(message_receive(&pair.other, &message, NULL) == DICOM_OK && message.type == MESSAGE_JOB);
	for (i = 0; taken < length && i < 1000; i++)
	{
		struct epoll_event event;

		given += child_supply(pair.child, bytes + given, length - given);
		taken += drain(&pair, came + taken, length - taken);
		CHECK(next(&pair) == DICOM_PENDING);
		taken += drain(&pair, came + taken, length - taken);
		CHECK(given == length || epoll_wait(child_descriptor(pair.child), &event, 1, 1000) == 1);
	}
	CHECK(given == length && taken == length);
	CHECK(memcmp(bytes, came, length) == 0);
	free(bytes);
	free(came);
	close_pair(&pair);
}

UNIT_TEST(child_of_another_version)
{
	struct pair pair;

	open_pair(&pair);
	say_hello(&pair, MESSAGE_VERSION + 1);
	CHECK(next(&pair) == DICOM_FAILED);
	CHECK(child_end(pair.child) == CHILD_NOT_STARTED);
	close_pair(&pair);
}

UNIT_TEST(child_that_refuses)
{
	struct dicom_error reason;
	struct pair pair;

	open_pair(&pair);
	submit(&pair, 5, 10, 0);
	dicom_fail(&reason, DICOM_ERROR_IO, "cannot confine the decoder");
	message_begin(&pair.other, MESSAGE_REFUSED);
	message_put_error(&pair.other, &reason);
	end(&pair, NULL, 0);
	CHECK(next(&pair) == DICOM_FAILED);
	CHECK(child_end(pair.child) == CHILD_NOT_STARTED);
	CHECK_STRING(pair.error.message, "cannot confine the decoder");
	close_pair(&pair);
}

UNIT_TEST(child_that_hangs)
{
	struct pair pair;

	open_pair(&pair);
	say_hello(&pair, MESSAGE_VERSION);
	CHECK(next(&pair) == DICOM_PENDING);
	submit(&pair, 5, 10, 0);
	pair.child->deadline = 0;
	CHECK(child_timeout(pair.child) == 0);
	CHECK(next(&pair) == DICOM_FAILED);
	CHECK(child_end(pair.child) == CHILD_TIMED_OUT);
	close_pair(&pair);
}

/* A large frame is allowed more time, but no more than its object can be worth. */
UNIT_TEST(child_allowance)
{
	struct pair pair;

	open_pair(&pair);
	submit(&pair, 5, 1 << 20, 0);
	say_hello(&pair, MESSAGE_VERSION);
	say_header(&pair, 5, 3);
	CHECK(next_is(&pair, CHILD_HEADER, 5));
	begin(&pair, MESSAGE_WORKING, 5);
	message_put_32(&pair.other, 1);
	message_put_64(&pair.other, UINT64_MAX);
	end(&pair, NULL, 0);
	CHECK(next(&pair) == DICOM_PENDING);
	CHECK(child_timeout(pair.child) > 10000 && child_timeout(pair.child) < 20000);
	say_picture(&pair, 5, 1, 4, "jpeg", 4);
	CHECK(next_is(&pair, CHILD_PICTURE, 5));
	CHECK(child_timeout(pair.child) <= 10000);
	close_pair(&pair);
}

/* --- lies --- */

static void
open_at_header(struct pair *pair, int frame_count)
{
	open_pair(pair);
	submit(pair, 5, 1000, frame_count);
	say_hello(pair, MESSAGE_VERSION);
	say_header(pair, 5, 9);
	CHECK(next_is(pair, CHILD_HEADER, 5));
}

UNIT_TEST(child_lies_about_frames)
{
	static const uint32_t wrong[] = {0, 1, 4, 8, 10, UINT32_MAX};
	struct pair pair;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
	{
		open_at_header(&pair, 2); /* 2-3,7 of 9 */
		say_picture(&pair, 5, wrong[i], 4, "jpeg", 4);
		check_liar(&pair, 5);
	}
	open_at_header(&pair, 2);
	say_picture(&pair, 5, 3, 4, "jpeg", 4);
	CHECK(next_is(&pair, CHILD_PICTURE, 5));
	say_picture(&pair, 5, 3, 4, "jpeg", 4); /* once more */
	check_liar(&pair, 5);
}

UNIT_TEST(child_lies_about_sizes)
{
	static const uint32_t wrong[] = {0, 65501, UINT32_MAX};
	static char long_picture[(2 << 20) + 1];
	struct pair pair;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
	{
		open_at_header(&pair, 0);
		say_picture(&pair, 5, 1, wrong[i], "jpeg", 4);
		check_liar(&pair, 5);
	}
	/* More bytes than so few pixels can be worth: only the length is said. */
	open_at_header(&pair, 0);
	begin(&pair, MESSAGE_PICTURE, 5);
	message_put_32(&pair.other, 1);
	message_put_32(&pair.other, 4);
	message_put_32(&pair.other, 2);
	message_put_8(&pair.other, 1);
	message_put_8(&pair.other, 0);
	message_put_32(&pair.other, 0);
	CHECK(message_end(&pair.other, long_picture, sizeof(long_picture), NULL) == DICOM_OK);
	CHECK(message_flush(&pair.other, NULL) == DICOM_PENDING);
	check_liar(&pair, 5);
}

UNIT_TEST(child_reads_what_is_not_there)
{
	static const uint64_t wrong[][2] = {{0, 1001},       {1000, 1},       {1, 1000},
										{UINT64_MAX, 2}, {0, UINT64_MAX}, {5, 0}};
	struct pair pair;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
	{
		open_at_header(&pair, 0);
		begin(&pair, MESSAGE_READ, 5);
		message_put_64(&pair.other, wrong[i][0]);
		message_put_64(&pair.other, wrong[i][1]);
		end(&pair, NULL, 0);
		check_liar(&pair, 5);
	}
}

UNIT_TEST(child_says_what_is_not_its_turn)
{
	struct pair pair;

	open_pair(&pair); /* without having greeted */
	submit(&pair, 5, 1000, 0);
	say_header(&pair, 5, 9);
	check_liar(&pair, 5);
	open_pair(&pair); /* of no job */
	say_hello(&pair, MESSAGE_VERSION);
	say_done(&pair, 5);
	check_liar(&pair, 0);
	open_at_header(&pair, 0); /* of another job */
	say_done(&pair, 6);
	check_liar(&pair, 5);
	open_at_header(&pair, 0); /* twice */
	say_header(&pair, 5, 9);
	check_liar(&pair, 5);
	open_at_header(&pair, 0);
	say_hello(&pair, MESSAGE_VERSION);
	check_liar(&pair, 5);
	open_pair(&pair); /* a picture before the header */
	submit(&pair, 5, 1000, 0);
	say_hello(&pair, MESSAGE_VERSION);
	say_picture(&pair, 5, 1, 4, "jpeg", 4);
	check_liar(&pair, 5);
	open_at_header(&pair, 0); /* what only parents say */
	begin(&pair, MESSAGE_NO_DATA, 5);
	end(&pair, NULL, 0);
	check_liar(&pair, 5);
}

UNIT_TEST(child_says_no_message)
{
	static const uint32_t headers[][4] = {{0, 0, 0, 0},
										  {99, 0, 0, 0},
										  {MESSAGE_DONE, MESSAGE_MAX_BODY + 1, 0, 0},
										  {MESSAGE_DONE, 8, 1, 0},
										  {MESSAGE_PICTURE, 8, 1, 1U << 30}};
	struct pair pair;
	size_t i;

	for (i = 0; i < sizeof(headers) / sizeof(*headers); i++)
	{
		open_at_header(&pair, 0);
		CHECK(write(pair.other.socket, headers[i], 16) == 16);
		check_liar(&pair, 5);
	}
}
