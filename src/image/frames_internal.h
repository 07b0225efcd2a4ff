/*
 * frames_internal.h
 *	  What the files behind image_frames share: nobody else includes it.
 */
#ifndef IMAGE_FRAMES_INTERNAL_H
#define IMAGE_FRAMES_INTERNAL_H

#include "image.h"

/* Fragments and entries of tables that are kept in memory; more is DICOM_ERROR_LIMIT. */
#define MAX_FRAGMENTS (1 << 22)

#define ITEM_HEADER 8

/* Bytes that are read at once while walking. */
#define READ_AHEAD 4096

/* One item of encapsulated pixel data: PS3.5 A.4. */
struct fragment
{
	uint64_t offset; /* of its bytes */
	uint32_t length; /* as its header says: the file may end before */
	bool starts;     /* with what a compressed frame begins with */
};

struct image_frames
{
	struct image_pixels pixels;
	const struct image_source
		*source;                 /* of the bytes that offsets count in: the file, or its inflated stream */
	struct inflating *inflating; /* behind `source`, where the file is deflated */
	uint64_t end;                /* of the pixel data's value, as far as known */
	uint32_t count;

	uint64_t frame_bits; /* native: of one frame */

	uint64_t base; /* encapsulated: of the first fragment's header, where offsets of the tables count from */

	/* What was read last while walking: small fragments cost no read each. */
	uint8_t ahead[READ_AHEAD];
	uint64_t ahead_offset;
	size_t ahead_length;

	/* A table that is trusted so far: where the header of each frame's first fragment stands. NULL once it was found wrong. */
	uint64_t *starts;

	/* After walking: all fragments, and of each frame the number of its first one; first[count] is the end. */
	struct fragment *fragments;
	uint32_t fragment_count;
	uint32_t fragment_capacity;
	uint32_t *first;
};

/* fragments.c */

/* Finds how many frames there are, by a table that fits or by walking. */
extern enum dicom_status fragments_find(struct image_frames *frames, struct dicom_error *error);

/* The joined fragments of a frame. */
extern enum dicom_status fragments_read(struct image_frames *frames, uint32_t frame, uint8_t **bytes,
										size_t *length, struct dicom_error *error);

/* walk.c */

/* True where bytes look like the beginning of a compressed frame. */
extern bool starts_codestream(enum image_codec codec, const uint8_t *bytes, size_t length);

/* The bytes of a fragment that starts_codestream() looks at. */
#define START_LENGTH 12

/*
 * Reads the header of the item at *position, and moves behind the item. DICOM_END at the delimiter, at the end, and where something
 * else stands.
 */
extern enum dicom_status walk_item(struct image_frames *frames, uint64_t *position, struct fragment *fragment,
								   struct dicom_error *error);

/* Collects the fragments from a position up to another or to their end: frames->fragments anew. */
extern enum dicom_status walk_fragments(struct image_frames *frames, uint64_t position, uint64_t end,
										struct dicom_error *error);

/* inflating.c: a source that reads the inflated stream of another. */

struct inflating;
extern struct inflating *inflating_open(const struct image_source *file, uint64_t offset);
extern const struct image_source *inflating_source(struct inflating *inflating);
extern void inflating_close(struct inflating *inflating);

/* Reads from the frames' source, within its bounds. */
extern enum dicom_status frames_source_read(const struct image_frames *frames, uint64_t offset, size_t length,
											uint8_t *bytes, struct dicom_error *error);

/* Fails with the tag of the pixel data. */
extern enum dicom_status frames_fail(struct dicom_error *error, enum dicom_error_code code,
									 const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
