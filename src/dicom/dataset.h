/*
 * dataset.h
 *	  The elements of one file, as far as somebody wants them.
 *
 * A data set is read from a window with dicom_dataset_read(), which runs the parser and keeps an index of the
 * elements asked for. It never asks for pixel data, nor for a value longer than `max_value` unless the selection
 * names it: such a value is stepped over by asking for the bytes behind it. When bytes are missing it returns
 * DICOM_NEED and says which range it wants; the caller puts them into the window and calls again, any number of
 * times. After DICOM_FAILED the elements read so far are there, with the error: a broken file gives what it has.
 * A file that ends inside its pixel data is no error, only DICOM_WARNING_TRUNCATED; one that ends in front of them is
 * DICOM_ERROR_MALFORMED, unless all that the selection wants was found before.
 *
 * Elements stand in one array in file order. Those of a sequence follow it, one level deeper: first the item
 * (tag FFFE,E000), then what it holds. `next` jumps over all that an element holds, so that
 *
 *		for (i = 0; i < ds->count; i = ds->elements[i].next)
 *
 * visits the top level and the same loop between i + 1 and elements[i].next the items of a sequence.
 *
 * What real files do, and how it is read (PS3.5 and PS3.10 unless said otherwise):
 *	- with or without preamble and file meta information (PS3.10 §7.1); a meta group in implicit VR, with wrong or
 *	  missing group length; a command set (group 0000) in front; a transfer syntax that the data contradict: the
 *	  bytes win, and a warning is counted
 *	- implicit and explicit VR little endian, explicit VR big endian, deflated (A.5), GE's private big endian syntax;
 *	  every other transfer syntax is explicit VR little endian
 *	- undefined lengths, nested sequences, UN of undefined length holding implicit VR (§6.2.2 note 2), values of UN that
 *	  are items without doubt, items in another encoding than what is around them, wrong lengths of items, group lengths
 *	  (not kept, but (0002,0000)), trailing padding, odd lengths, explicit VR with unknown letters, 16-bit length where
 *	  32 were due
 *	- private blocks by their creator (§7.8.1)
 */
#ifndef DICOM_DATASET_H
#define DICOM_DATASET_H

#include "buffer.h"
#include "error.h"
#include "window.h"

#define DICOM_UNDEFINED_LENGTH    UINT32_MAX
#define DICOM_MAX_DEPTH           64        /* of nested sequences; deeper is DICOM_ERROR_LIMIT */
#define DICOM_MAX_ELEMENTS        (1 << 22) /* of one file */
#define DICOM_TAG(group, element) ((uint32_t) (group) << 16 | (uint32_t) (element))
#define DICOM_TAG_ITEM            DICOM_TAG(0xFFFE, 0xE000)
#define DICOM_TAG_PIXEL_DATA      DICOM_TAG(0x7FE0, 0x0010)

/* Bits of dicom_element.flags */
#define DICOM_ELEMENT_BULK         0x01 /* value not read: longer than max_value, or pixel data */
#define DICOM_ELEMENT_BIG_ENDIAN   0x02
#define DICOM_ELEMENT_INFLATED     0x04 /* offset counts in the inflated stream (deflated transfer syntax) */
#define DICOM_ELEMENT_TRUNCATED    0x08 /* the file ends inside this value; length is what is there */
#define DICOM_ELEMENT_META         0x10 /* of the file meta information (group 0002) or a command set (group 0000) */
#define DICOM_ELEMENT_ENCAPSULATED 0x20 /* pixel data of undefined length: fragments follow at offset */

struct dicom_element
{
	uint64_t offset; /* of the value, in the file or the inflated stream */
	uint32_t length; /* of the value in bytes; DICOM_UNDEFINED_LENGTH where the file leaves it open */
	uint32_t tag;
	uint32_t next;   /* index of the first element behind this one and all it holds */
	uint32_t parent; /* index of the item that holds it, UINT32_MAX at top level */
	uint32_t number; /* of an item in its sequence, counted from 1; 0 for other elements */
	uint16_t vr;     /* as written; of UN and in implicit VR the dictionary's, alternatives decided */
	uint8_t depth;   /* 0 at top level, 1 for items of a top-level sequence, 2 for their elements */
	uint8_t flags;
};

/* Things seen in the file that are wrong but could be read. */
enum dicom_warning
{
	DICOM_WARNING_NO_PREAMBLE,           /* no 128 bytes + DICM */
	DICOM_WARNING_NO_META,               /* no transfer syntax named; guessed from the bytes */
	DICOM_WARNING_WRONG_META_LENGTH,     /* (0002,0000) absent or wrong */
	DICOM_WARNING_WRONG_TRANSFER_SYNTAX, /* the data are not in the syntax that is named */
	DICOM_WARNING_ODD_LENGTH,
	DICOM_WARNING_UNKNOWN_VR,
	DICOM_WARNING_TRUNCATED, /* the file ends inside the last element */
	DICOM_WARNING_ORDER,     /* tags do not ascend */
	DICOM_WARNING_DUPLICATE, /* one tag twice in one item; the last one counts, as in DCMTK and pydicom */
	DICOM_WARNING_STRAY_DELIMITER,
	DICOM_WARNING_TRAILING_BYTES, /* bytes behind the last element that are no element */
	DICOM_WARNING_SEQUENCE,       /* a sequence whose items do not fit its length */
	DICOM_WARNING_COUNT
};

/* The stable short name of a warning: 'no preamble', 'odd length', ... */
extern const char *dicom_warning_name(enum dicom_warning warning);

/*
 * What to keep. Top-level tags in ascending order without duplicates; what a wanted sequence holds is kept whole.
 * The scan ends in front of the first top-level tag behind the last wanted one; where tags were seen to descend before,
 * it goes on to the pixel data. SpecificCharacterSet, PixelRepresentation and TimezoneOffsetFromUTC (in every item), the
 * file meta information and the private creators of wanted private tags are always kept. A wanted private tag is given
 * by its creator: `private_tags` holds group << 16 | low byte, and creators[] the creator's name.
 */
struct dicom_selection
{
	/*
	 * Keep all; the lists below are then ignored, and the scan goes to the end of the file. It ends with the pixel data
	 * where these are deflated, or in more than 64 fragments: to pass over each of them could cost a request.
	 */
	bool everything;
	const uint32_t *tags;
	int tag_count;
	const uint32_t *private_tags;
	const char *const *private_creators;
	int private_count;

	/*
	 * Parse up to the pixel data and no further, so that header_end and warnings are full: with the tags above keep only
	 * those, with `everything` all that stands in front of the pixel data.
	 */
	bool whole_header;

	/* Values longer than this many bytes are not read unless wanted by tag; 0: 64 KiB. */
	uint32_t max_value;

	/* Bytes of headers and values to look at, and to inflate; 0: 16 MiB. More is DICOM_ERROR_LIMIT. */
	uint64_t header_limit;
};

struct dicom_dataset
{
	struct dicom_element *elements;
	uint32_t count;
	uint32_t capacity;
	const struct dicom_window *window; /* the file's bytes, not owned */

	char transfer_syntax_uid[65]; /* as named by the file meta information; '' where there is none */
	bool big_endian;              /* of the data set proper */
	bool implicit_vr;

	/* Where pixel data begin (the element, not its value), or the scan ended; in the inflated stream, if there is one. */
	uint64_t header_end;
	uint64_t bytes_used; /* highest offset in the file that was looked at */
	uint32_t warnings[DICOM_WARNING_COUNT];

	/* After DICOM_NEED: the range to fetch. length is the least that helps; more is welcome. */
	uint64_t need_offset;
	size_t need_length;

	struct dicom_reading *reading; /* private: the parser's state between calls */
};

/* Begins a data set, zero-initialised before its first use, over a window. Both and `selection` must live as long as it. */
extern enum dicom_status dicom_dataset_open(struct dicom_dataset *dataset, const struct dicom_window *window,
											const struct dicom_selection *selection,
											struct dicom_error *error);

/* DICOM_OK when all that the selection wants is there, DICOM_NEED, or DICOM_FAILED. */
extern enum dicom_status dicom_dataset_read(struct dicom_dataset *dataset, struct dicom_error *error);

/* Releases what the data set holds, keeping the element array for dicom_dataset_open() to use again if `keep`. */
extern void dicom_dataset_close(struct dicom_dataset *dataset, bool keep);

/* The bytes of an element's value, NULL for none, a sequence, bulk or undefined length. *length is set in any case. */
extern const uint8_t *dicom_dataset_value(const struct dicom_dataset *dataset,
										  const struct dicom_element *element, uint32_t *length);

/* The top-level element with this tag (file meta information included), or NULL. The last one where there are two. */
extern const struct dicom_element *dicom_dataset_find(const struct dicom_dataset *dataset, uint32_t tag);

/*
 * The same among the elements of one item, which `item` points to (NULL: the top level). For a private attribute, tag
 * is group << 16 | low byte and creator its block's creator; otherwise creator is NULL.
 */
extern const struct dicom_element *dicom_dataset_find_in(const struct dicom_dataset *dataset,
														 const struct dicom_element *item, uint32_t tag,
														 const char *creator);

/* The private creator of an element, trimmed, as bytes of the file; NULL where it is not private or has none. */
extern const char *dicom_dataset_private_creator(const struct dicom_dataset *dataset,
												 const struct dicom_element *element, uint32_t *length);

#endif
