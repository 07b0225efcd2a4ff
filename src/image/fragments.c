/*
 * fragments.c
 *	  Which fragments make a frame.
 *
 * A table that has just as many entries as there are frames is believed until a frame shows that it is wrong: then, and where there
 * is none, all fragments are walked over, and told apart by what they begin with.
 */
#include <stdlib.h>
#include <string.h>

#include "frames_internal.h"
#include "native.h"

/* ---- tables ---- */

static uint64_t
read_entry(const uint8_t *bytes, int size)
{
	uint64_t entry = 0;

	while (size-- > 0)
		entry = entry << 8 | bytes[size];
	return entry;
}

/* True where entries can be what they say: from the first fragment on, ascending, inside the file. */
static bool
is_sane_table(const struct image_frames *frames, const uint64_t *starts, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if ((i == 0 && starts[i] != frames->base) || (i > 0 && starts[i] <= starts[i - 1]) ||
			starts[i] < frames->base || starts[i] >= frames->end)
			return false;
	return true;
}

/* Reads a table of as many entries as there are frames; does without where it makes no sense. */
static enum dicom_status
read_table(struct image_frames *frames, const struct image_place *place, int entry_size,
		   struct dicom_error *error)
{
	uint32_t count = frames->pixels.frame_count;
	uint8_t *bytes;
	uint64_t *starts;
	enum dicom_status status;
	uint32_t i;

	if (count == 0 || place->length / entry_size != count || count > MAX_FRAGMENTS ||
		place->offset > frames->source->size || place->length > frames->source->size - place->offset)
		return DICOM_OK;
	bytes = calloc(count, entry_size);
	starts = malloc((size_t) count * sizeof(*starts));
	status = bytes && starts
				 ? frames_source_read(frames, place->offset, (size_t) count * entry_size, bytes, error)
				 : dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	for (i = 0; status == DICOM_OK && i < count; i++)
	{
		uint64_t entry = read_entry(bytes + (size_t) i * entry_size, entry_size);

		starts[i] = entry < UINT64_MAX - frames->base ? frames->base + entry : 0;
	}
	free(bytes);
	if (status == DICOM_OK && is_sane_table(frames, starts, count))
	{
		frames->starts = starts;
		frames->count = count;
		return DICOM_OK;
	}
	free(starts);
	return status;
}

/* ---- walking ---- */

/* Fragments without a byte tell nothing, where there are more fragments than frames. */
static void
drop_empty(struct image_frames *frames)
{
	uint32_t kept = 0;
	uint32_t i;

	if (frames->fragment_count <= frames->pixels.frame_count)
		return;
	for (i = 0; i < frames->fragment_count; i++)
		if (frames->fragments[i].length > 0)
			frames->fragments[kept++] = frames->fragments[i];
	frames->fragment_count = kept;
}

static uint32_t
count_starts(const struct image_frames *frames)
{
	uint32_t count = 0;
	uint32_t i;

	for (i = 0; i < frames->fragment_count; i++)
		count += frames->fragments[i].starts;
	return count;
}

/* Frame after frame, a new one wherever `begins` says so. */
static uint32_t
group(struct image_frames *frames, bool (*begins)(const struct image_frames *frames, uint32_t fragment))
{
	uint32_t count = 0;
	uint32_t i;

	for (i = 0; i < frames->fragment_count; i++)
		if (i == 0 || begins(frames, i))
			frames->first[count++] = i;
	frames->first[count] = frames->fragment_count;
	return count;
}

static bool
begins_by_itself(const struct image_frames *frames, uint32_t fragment)
{
	return true;
}

static bool
begins_by_marker(const struct image_frames *frames, uint32_t fragment)
{
	return frames->fragments[fragment].starts;
}

static bool
begins_by_table(const struct image_frames *frames, uint32_t fragment)
{
	uint64_t header = frames->fragments[fragment].offset - ITEM_HEADER;
	uint32_t low = 0;
	uint32_t high = frames->pixels.frame_count;

	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;

		if (frames->starts[middle] < header)
			low = middle + 1;
		else
			high = middle;
	}
	return low < frames->pixels.frame_count && frames->starts[low] == header;
}

/* True where each entry of the table stands at a fragment. */
static bool
is_table_of_fragments(const struct image_frames *frames)
{
	uint32_t found = 0;
	uint32_t i;

	for (i = 0; frames->starts && i < frames->fragment_count; i++)
		found += begins_by_table(frames, i);
	return frames->starts && found == frames->pixels.frame_count;
}

static bool
begins_never(const struct image_frames *frames, uint32_t fragment)
{
	return fragment == 0;
}

/*
 * One fragment a frame where their numbers are equal, or there are too few; then by how fragments begin, where as many do as there are
 * frames; then by a table that a frame contradicted; all in one where there is one frame, unless several fragments begin anew.
 */
static enum dicom_status
group_fragments(struct image_frames *frames, struct dicom_error *error)
{
	uint32_t wanted = frames->pixels.frame_count;
	uint32_t starting;

	drop_empty(frames);
	starting = count_starts(frames);
	frames->first = malloc(((size_t) frames->fragment_count + 1) * sizeof(*frames->first));
	if (!frames->first)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (frames->fragment_count == 0)
		return frames_fail(error, DICOM_ERROR_MALFORMED, "the pixel data have no fragment");
	if (frames->fragment_count <= wanted)
		frames->count = group(frames, begins_by_itself);
	else if (starting != wanted && is_table_of_fragments(frames))
		frames->count = group(frames, begins_by_table);
	else if (wanted == 1 && starting <= 1)
		frames->count = group(frames, begins_never);
	else if (starting > 0)
		frames->count = group(frames, begins_by_marker);
	else
		return frames_fail(error, DICOM_ERROR_MALFORMED,
						   "%u fragments for %u frames, and nothing tells where one begins",
						   frames->fragment_count, wanted);
	return DICOM_OK;
}

static enum dicom_status
walk_all(struct image_frames *frames, struct dicom_error *error)
{
	enum dicom_status status = walk_fragments(frames, frames->base, frames->end, error);

	if (status == DICOM_OK)
		status = group_fragments(frames, error);
	free(frames->starts);
	frames->starts = NULL;
	if (status != DICOM_OK)
	{
		free(frames->first);
		frames->first = NULL;
	}
	return status;
}

/*
 * The first item is the basic offset table, unless it is left out although it must not: then the first item begins as a frame does.
 */
enum dicom_status
fragments_find(struct image_frames *frames, struct dicom_error *error)
{
	struct image_place basic;
	uint64_t position = frames->pixels.value_offset;
	struct fragment table;
	enum dicom_status status = walk_item(frames, &position, &table, error);

	if (status == DICOM_FAILED)
		return status;
	if (status == DICOM_END)
		return frames_fail(error, DICOM_ERROR_MALFORMED, "the pixel data have no fragment");
	frames->base = table.starts ? frames->pixels.value_offset : position;
	basic = (struct image_place){table.offset, table.starts ? 0 : table.length};
	status = read_table(frames, &frames->pixels.table, 8, error);
	if (status == DICOM_OK && !frames->starts)
		status = read_table(frames, &basic, 4, error);
	return status == DICOM_OK && !frames->starts ? walk_all(frames, error) : status;
}

/* ---- reading ---- */

/* Joins fragments. Their lengths are checked against the file before anything is allocated. */
static enum dicom_status
join(struct image_frames *frames, const struct fragment *fragments, uint32_t count, uint32_t frame,
	 uint8_t **bytes, size_t *length, struct dicom_error *error)
{
	uint64_t total = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
	{
		if (fragments[i].offset > frames->end || fragments[i].length > frames->end - fragments[i].offset)
			return frames_fail(error, DICOM_ERROR_MALFORMED, "the pixel data end inside frame %u", frame + 1);
		total += fragments[i].length;
	}
	if (total == 0)
		return frames_fail(error, DICOM_ERROR_MALFORMED, "frame %u is empty", frame + 1);
	if (total > SIZE_MAX || !(*bytes = malloc((size_t) total)))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	for (i = 0; i < count; i++)
	{
		enum dicom_status status =
			frames_source_read(frames, fragments[i].offset, fragments[i].length, *bytes + *length, error);

		if (status != DICOM_OK)
			return status;
		*length += fragments[i].length;
	}
	return DICOM_OK;
}

static bool
has_markers(enum image_codec codec)
{
	return codec == IMAGE_CODEC_JPEG || codec == IMAGE_CODEC_JPEG_LS || codec == IMAGE_CODEC_JPEG_2000 ||
		   codec == IMAGE_CODEC_RLE;
}

/* True where a codestream begins with the fragment at a position, or nothing tells. */
static enum dicom_status
begins_frame(struct image_frames *frames, uint64_t position, bool *begins, struct dicom_error *error)
{
	struct fragment fragment;
	enum dicom_status status;

	*begins = true;
	if (!has_markers(frames->pixels.codec))
		return DICOM_OK;
	status = walk_item(frames, &position, &fragment, error);
	*begins = status == DICOM_OK && fragment.starts;
	return status == DICOM_END ? DICOM_OK : status;
}

/*
 * The fragments that the table gives to a frame. It does not fit where they do not fill just the room up to the next frame, or where no
 * frame begins here or there.
 */
static enum dicom_status
find_by_table(struct image_frames *frames, uint32_t frame, bool *fits, struct dicom_error *error)
{
	bool is_last = frame + 1 == frames->count;
	uint64_t end = is_last ? frames->end : frames->starts[frame + 1];
	enum dicom_status status = walk_fragments(frames, frames->starts[frame], end, error);
	const struct fragment *last;

	*fits = status == DICOM_OK && frames->fragment_count > 0;
	if (!*fits)
		return status;
	last = &frames->fragments[frames->fragment_count - 1];
	*fits = is_last || last->offset + last->length == end;
	if (has_markers(frames->pixels.codec) && !frames->fragments[0].starts)
		*fits = false;
	return *fits && !is_last ? begins_frame(frames, end, fits, error) : DICOM_OK;
}

enum dicom_status
fragments_read(struct image_frames *frames, uint32_t frame, uint8_t **bytes, size_t *length,
			   struct dicom_error *error)
{
	enum dicom_status status;
	uint32_t first;

	if (frames->starts)
	{
		bool fits;

		status = find_by_table(frames, frame, &fits, error);
		if (status != DICOM_OK)
			return status;
		if (fits)
			return join(frames, frames->fragments, frames->fragment_count, frame, bytes, length, error);
	}
	if (!frames->first)
	{
		status = walk_all(frames, error);
		if (status != DICOM_OK)
			return status;
	}
	if (frame >= frames->count)
		return frames_fail(error, DICOM_ERROR_MALFORMED, "the pixel data end in front of frame %u",
						   frame + 1);
	first = frames->first[frame];
	return join(frames, frames->fragments + first, frames->first[frame + 1] - first, frame, bytes, length,
				error);
}
