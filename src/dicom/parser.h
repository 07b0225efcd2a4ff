/*
 * parser.h
 *	  Private to the reading of data sets: its state between two calls, and what its files share.
 *
 * dataset.c opens, reads and closes; source.c and inflate.c provide bytes; meta.c reads what stands in front of the data
 * set; element_header.c one header; wanted.c says what to keep, frame.c keeps it; parser.c steps over elements, sequence.c
 * over sequences, items and fragments; skim.c passes over what nobody wants; private.c knows whose private elements are.
 *
 * The parser is a machine of small steps. A step first gathers all the bytes that it decides on, then changes the
 * state; when bytes are missing it returns DICOM_NEED having changed nothing, and the same step runs again once they
 * are there. So what is read never depends on how the bytes came.
 */
#ifndef DICOM_PARSER_H
#define DICOM_PARSER_H

#include <zlib.h>

#include "dataset.h"
#include "dictionary.h"

#define NO_ELEMENT UINT32_MAX
#define UNBOUNDED  UINT64_MAX

#define DEFAULT_MAX_VALUE    (64 * 1024)
#define DEFAULT_HEADER_LIMIT ((uint64_t) 16 << 20)

/* A fragmented value is followed to its end only over so many fragments: each may cost a request. */
#define MAX_FRAGMENTS 64

#define TAG_ITEM_DELIMITER     DICOM_TAG(0xFFFE, 0xE00D)
#define TAG_SEQUENCE_DELIMITER DICOM_TAG(0xFFFE, 0xE0DD)
#define TAG_TRANSFER_SYNTAX    DICOM_TAG(0x0002, 0x0010)
#define TAG_CHARACTER_SET      DICOM_TAG(0x0008, 0x0005)
#define TAG_TIMEZONE           DICOM_TAG(0x0008, 0x0201)
#define TAG_PIXEL_SIGN         DICOM_TAG(0x0028, 0x0103)

#define VR_UN DICOM_VR('U', 'N')
#define VR_SQ DICOM_VR('S', 'Q')

/* How elements are encoded: bits. */
#define SYNTAX_EXPLICIT   0
#define SYNTAX_IMPLICIT   1
#define SYNTAX_BIG_ENDIAN 2

enum reading_phase
{
	PHASE_START,  /* preamble or not */
	PHASE_META,   /* file meta information, command set */
	PHASE_SYNTAX, /* how the data set is encoded */
	PHASE_DATA,
	PHASE_DONE,
	PHASE_FAILED
};

enum frame_kind
{
	FRAME_DATASET,
	FRAME_SEQUENCE,
	FRAME_ITEM,
	FRAME_FRAGMENTS
};

/* One level of what is being read. */
struct frame
{
	uint64_t end; /* where it ends at the latest, by its own length or what is around it; else UNBOUNDED */
	uint32_t element;  /* index of the sequence or item, NO_ELEMENT where it is not kept */
	uint32_t tag;      /* of the sequence */
	uint32_t last_tag; /* of the last element in it */
	uint32_t items;    /* of a sequence: kept so far */
	uint8_t kind;
	uint8_t syntax;
	bool undefined;     /* its length is: a delimiter ends it */
	bool keep;          /* store what it holds */
	bool signed_pixels; /* PixelRepresentation here or around is 1 */
};

struct dicom_reading
{
	struct dicom_dataset *dataset;
	const struct dicom_window *window;
	const struct dicom_selection *selection;

	enum reading_phase phase;
	struct dicom_error failure; /* PHASE_FAILED: said again by every later call */

	/* The run of the window, or the inflated bytes, that was looked at last: valid during one call. */
	const uint8_t *view;
	uint64_t view_offset;
	size_t view_length;

	uint64_t position; /* of the next header */
	uint64_t looked;   /* bytes of headers and wanted values so far, against header_limit */
	uint64_t header_limit;
	uint32_t max_value;

	uint32_t last_wanted; /* no top-level tag behind this one is wanted */
	uint8_t (*reserved)
		[32]; /* for each private tag of the selection: bits of the blocks that its creator reserves */
	uint32_t reserved_upto; /* elements that these bits know of */
	int next_tag;           /* place in selection->tags, for tags that ascend */
	bool disordered;        /* top-level tags do not ascend: the last wanted tag tells nothing */
	bool tail;              /* behind the pixel data: what does not parse there is no error */
	int fragments;          /* seen in the fragmented value being followed */

	uint64_t meta_end; /* of group 0002; 0 where there is none */

	bool inflating;
	bool inflated_end; /* the stream ended, or broke: no more bytes will come */
	bool inflate_broken;
	z_stream stream;
	uint64_t deflated_position; /* in the file */
	uint8_t *inflated;
	size_t inflated_length;
	size_t inflated_capacity;

	struct private_element *privates; /* of a large data set, once one was asked for */
	uint32_t private_count;
	uint32_t privates_upto; /* elements that it knows of */

	int depth; /* of the frame that is being read; frames[0] is the data set */
	struct frame frames[2 * DICOM_MAX_DEPTH + 2];
};

/* An element's tag, representation and length, as they stand in front of its value. */
struct header
{
	uint64_t offset; /* of the header */
	uint64_t value;  /* of what comes behind it */
	uint32_t tag;
	uint32_t length;
	uint16_t vr;       /* as written; DICOM_VR_NONE in implicit VR, and where the letters mean nothing */
	uint8_t syntax;    /* of this element */
	uint32_t warnings; /* bits of enum dicom_warning, to be counted when the step is done */
};

static inline uint16_t
read_16(const uint8_t *bytes, uint8_t syntax)
{
	return syntax & SYNTAX_BIG_ENDIAN ? (uint16_t) (bytes[0] << 8 | bytes[1])
									  : (uint16_t) (bytes[1] << 8 | bytes[0]);
}

static inline uint32_t
read_32(const uint8_t *bytes, uint8_t syntax)
{
	if (syntax & SYNTAX_BIG_ENDIAN)
		return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
	return (uint32_t) bytes[3] << 24 | (uint32_t) bytes[2] << 16 | (uint32_t) bytes[1] << 8 | bytes[0];
}

static inline uint32_t
read_tag(const uint8_t *bytes, uint8_t syntax)
{
	return (uint32_t) read_16(bytes, syntax) << 16 | read_16(bytes + 2, syntax);
}

static inline void
count_warning(struct dicom_reading *reading, enum dicom_warning warning)
{
	reading->dataset->warnings[warning]++;
}

/* source.c: the bytes of the file, or of its inflated stream. */

/* The size of the source, UNBOUNDED where it is not known (yet). */
extern uint64_t source_size(const struct dicom_reading *reading);

/* Points *bytes at a range. DICOM_OK, DICOM_NEED, DICOM_END where the source ends before the range does, DICOM_FAILED. */
extern enum dicom_status source_fetch(struct dicom_reading *reading, uint64_t offset, size_t length,
									  const uint8_t **bytes);

static inline enum dicom_status
source_bytes(struct dicom_reading *reading, uint64_t offset, size_t length, const uint8_t **bytes)
{
	uint64_t from = offset - reading->view_offset;

	if (offset >= reading->view_offset && from <= reading->view_length &&
		reading->view_length - from >= length)
	{
		*bytes = reading->view + from;
		return DICOM_OK;
	}
	return source_fetch(reading, offset, length, bytes);
}

/* Says which bytes of the file are missing. Returns DICOM_NEED. */
extern enum dicom_status source_need(struct dicom_reading *reading, uint64_t offset, uint64_t length);

/* inflate.c */
extern enum dicom_status inflate_begin(struct dicom_reading *reading, uint64_t position);
extern enum dicom_status inflate_until(struct dicom_reading *reading, uint64_t end);
extern void inflate_close(struct dicom_reading *reading);

/* dataset.c */

/* The last element with a tag among those of one item, NO_ELEMENT for the top level. */
extern const struct dicom_element *find_among(const struct dicom_dataset *dataset, uint32_t item,
											  uint32_t tag);

/* private.c */

/* What dicom_dataset_close() must free. */
extern void privates_close(struct dicom_reading *reading);

/* The last element of a group << 16 | low byte in any block that a creator reserves, among the places [first, end) of one item. */
extern const struct dicom_element *find_private(const struct dicom_dataset *dataset, uint32_t item,
												uint32_t first, uint32_t end, uint32_t name,
												const char *creator);

static inline bool
is_private_creator(uint32_t tag)
{
	return (tag >> 16 & 1) && (tag & 0xFFFF) >= 0x10 && (tag & 0xFFFF) <= 0xFF;
}

/* Notes of a private creator, in the bits of the 256 blocks of its group, whether it is the one of this name. */
extern void note_creator(const struct dicom_dataset *dataset, const struct dicom_element *element,
						 const char *creator, uint8_t *blocks);

static inline bool
is_noted(const uint8_t *blocks, uint32_t tag)
{
	return (tag & 0xFFFF) >= 0x1000 && (blocks[tag >> 11 & 31] >> (tag >> 8 & 7) & 1);
}

/* element_header.c */

enum length_form
{
	FORM_UNKNOWN,
	FORM_SHORT, /* 16 bits behind the letters */
	FORM_LONG   /* 32 bits behind the letters and two reserved bytes */
};

#define LETTER_INDEX(a, b) (((a) - 'A') * 26 + ((b) - 'A'))

extern const uint8_t length_forms[26 * 26];

static inline bool
is_capital(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static inline enum length_form
length_form(uint8_t a, uint8_t b)
{
	return is_capital(a) && is_capital(b) ? (enum length_form) length_forms[LETTER_INDEX(a, b)]
										  : FORM_UNKNOWN;
}

/* True for two letters that PS3.5 §6.2 knows. */
extern bool vr_is_known(uint16_t vr);

/* True where the letters at bytes[4] say that an element of this tag is written in explicit VR beyond doubt. */
extern bool is_explicit_beyond_doubt(const uint8_t *bytes, uint8_t syntax);

/* Reads the header at a position; `end` bounds it and its value. DICOM_END where the source or the bound cut it. */
extern enum dicom_status header_read(struct dicom_reading *reading, uint64_t position, uint64_t end,
									 uint8_t syntax, struct header *header);

/* The representation to go by: as written, else the dictionary's with its alternatives decided. */
extern uint16_t header_vr(const struct header *header, bool signed_pixels);

/* meta.c: everything in front of the data set, and how that is encoded. Each ends its phase, or lacks bytes. */
extern enum dicom_status read_start(struct dicom_reading *reading);
extern enum dicom_status read_meta(struct dicom_reading *reading);
extern enum dicom_status read_syntax(struct dicom_reading *reading);

/* Sees whether sane elements with ascending tags stand at a position, in just this encoding. */
extern enum dicom_status try_elements(struct dicom_reading *reading, uint64_t position, uint64_t end,
									  uint8_t syntax, bool *sane);

/* wanted.c */

/* What close_dataset() must free. */
extern void wanted_close(struct dicom_reading *reading);

/* Whether a top-level element is kept; *named where it is asked for by its tag, so that its length does not matter. */
extern bool is_wanted(struct dicom_reading *reading, uint32_t tag, uint8_t flags, bool *named);

/* skim.c */

/* Passes over plain elements that nobody wants, as so many steps would. */
extern void skim(struct dicom_reading *reading);

/* frame.c */

static inline struct frame *
current(struct dicom_reading *reading)
{
	return &reading->frames[reading->depth];
}

/* Opens a sequence, an item or a fragmented value, whose element has just been kept if `keep`. */
extern enum dicom_status open_frame(struct dicom_reading *reading, enum frame_kind kind,
									const struct header *header, uint64_t end, bool keep, uint8_t syntax);
extern void close_frame(struct dicom_reading *reading);

/* Adds an element to the data set. */
extern enum dicom_status keep_element(struct dicom_reading *reading, const struct header *header, uint16_t vr,
									  uint32_t length, uint8_t flags);

/* Fails where a step would look at more bytes than header_limit leaves. */
extern enum dicom_status check_limit(struct dicom_reading *reading, const struct header *header,
									 uint64_t bytes);

/* A step is done: it looked at some bytes behind the header, and the next one begins at `position`. */
extern void move_on(struct dicom_reading *reading, const struct header *header, uint64_t value_bytes,
					uint64_t position);

/* Ends the reading: every element gets its `next`. */
extern void finish(struct dicom_reading *reading, enum reading_phase phase);

/* What does not parse is an error in front of the pixel data; behind them nobody misses it. */
extern enum dicom_status malformed(struct dicom_reading *reading, uint64_t offset, uint32_t tag,
								   const char *message);

/* Fails at a place of the file; the elements read so far stay. */
extern enum dicom_status fail_at(struct dicom_reading *reading, enum dicom_error_code code, uint64_t offset,
								 uint32_t tag, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* parser.c */

/* Runs until the data set is read, or bytes are missing. */
extern enum dicom_status read_data(struct dicom_reading *reading);

/* One step: an element, an item, a delimiter, a fragment. `flags` are added to an element that is kept. */
extern enum dicom_status step(struct dicom_reading *reading, uint8_t flags);

/* Keeps, or passes over, an element that is no sequence. */
extern enum dicom_status step_value(struct dicom_reading *reading, struct header *header, uint16_t vr,
									bool keep, bool named, uint8_t flags);

/* Too few bytes are left for a header, or none. */
extern enum dicom_status step_end(struct dicom_reading *reading);

/* Remembers an element's tag, and sees whether tags ascend. */
extern void note_order(struct dicom_reading *reading, struct header *header);

/* sequence.c */

/* Something ends behind the end of what holds it: either it is cut there, or that end moves. */
extern enum dicom_status settle_end(struct dicom_reading *reading, struct header *header, uint64_t *end);

/* A sequence of defined length that is kept; bytes that are no items are kept as such. */
extern enum dicom_status step_sequence_of_length(struct dicom_reading *reading, struct header *header,
												 uint8_t flags);

/* A value that nobody knows: a sequence where its bytes are items without doubt, else as it is. */
extern enum dicom_status step_unknown(struct dicom_reading *reading, struct header *header, bool named,
									  uint8_t flags);

/* An element of undefined length: a sequence, but fragments where its values are bytes (PS3.5 A.4). */
extern enum dicom_status step_undefined(struct dicom_reading *reading, struct header *header, uint16_t vr,
										bool keep, uint8_t flags);
extern enum dicom_status enter_fragments(struct dicom_reading *reading, struct header *header, uint16_t vr,
										 bool keep, uint8_t flags);

/* The next step inside a sequence and a fragmented value, and at a delimiter where an element is due. */
extern enum dicom_status step_sequence(struct dicom_reading *reading);
extern enum dicom_status step_fragment(struct dicom_reading *reading);
extern enum dicom_status step_delimiter(struct dicom_reading *reading, struct header *header);

#endif
