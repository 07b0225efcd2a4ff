/*
 * run.h
 *	  The work: from sources to pictures, until there are no more.
 *
 * One thread, which never waits for anything in particular: sources are looked up in the notes of former runs, fetched, given to
 * children, and their pictures to the threads that write. How far each one is says its item.
 *
 *		run.c		the loop
 *		item.c		a source on its way to a child
 *		slot.c		the children, and what they say
 *		check.c		what former runs have done
 */
#ifndef COMPRESS_RUN_H
#define COMPRESS_RUN_H

#include "input.h"
#include "object.h"
#include "output.h"
#include "report.h"
#include "taken.h"

/* Makes the pictures of all sources. DICOM_FAILED where nothing could be begun, or not gone on with. */
extern enum dicom_status run_options(const struct options *options, const char *program,
									 struct report *report, struct dicom_error *error);

/* --- private to the files above --- */

enum item_step
{
	ITEM_CHECKS,  /* is it done already? */
	ITEM_FETCHES, /* its first bytes, or all of them */
	ITEM_IS_READY,
	ITEM_IS_DECODED,
	ITEM_IS_WRITTEN, /* the child is done with it */
	ITEM_IS_OVER
};

struct slot;
struct check;

/* A source at work. */
struct item
{
	struct item *previous, *next; /* in the list of its step */
	struct item_list *list;
	enum item_step step;
	uint64_t id;
	struct source source;
	struct template *own_template; /* where the source has one */
	const struct template *template;
	struct frame_set frames;
	uint64_t reserved; /* bytes of memory */

	struct check *check;
	struct object *object;
	struct slot *slot;
	uint64_t size;       /* of the object that the child has */
	bool was_tried;      /* a child died over it */
	bool is_serving;     /* bytes that the child asked for */
	uint32_t last_frame; /* that was made, or failed */
	char *filled;        /* the template, but for the frame */

	struct state_note note;     /* of pictures written */
	struct output_task *held;   /* the last picture, while it may be the last of all */
	struct store_upload *draft; /* for the first picture; NULL: none, or in use */
	int outstanding;            /* tasks given to the output */
	bool has_failed;            /* in part at least: no note */
	bool note_given;
};

struct item_list
{
	struct item *first, *last;
	int count;
};

/* A place for a child. */
struct slot
{
	struct child *child; /* NULL: not started */
	struct item *items[CHILD_QUEUE];
	int count;
	bool is_alone; /* what it has was tried before */
	bool was_held; /* its pictures are not taken for a while: those before are still being written */
	int64_t began_ms;
};

struct run
{
	const struct options *options;
	const char *program;
	struct report *report;
	struct places *places;
	struct stores *stores;
	struct input *input;
	struct output *output;
	struct template *template;
	struct dicom_charset_cache charsets;
	struct taken taken;
	uint64_t memory; /* of a child */
	int queue;       /* jobs that a child gets at a time */
	bool has_drafts; /* which children write their pictures into */

	/* former runs */
	char fingerprint[SHA256_TEXT]; /* of sources that ask for nothing of their own; empty: not computed yet */
	bool has_notes;
	struct ledger *ledger;    /* of a directory */
	struct store *note_store; /* or that of a bucket */
	const char *note_prefix;
	struct dicom_buffer note_name;
	char **known_notes; /* names, sorted, where known_all */
	int known_count;
	bool knows_all;
	struct store *picture_store; /* to see whether pictures are there */
	const char *picture_prefix;

	struct slot *slots;
	struct pollfd *polled;
	struct dicom_buffer notes_below; /* the prefix of notes, where they lie below the pictures */
	struct item_list pending;        /* ITEM_CHECKS, ITEM_FETCHES */
	struct item_list ready;
	struct item_list again; /* ready, but to be tried alone */
	struct item_list busy;  /* ITEM_IS_DECODED, ITEM_IS_WRITTEN */
	uint64_t next_id;
	uint64_t reserved;
	bool input_ended;
	bool input_waits;

	bool is_broken; /* no child can be started, nobody listens, ... */
	struct dicom_error error;
};

extern int64_t run_now_ms(void);

/* Ends the run: nothing can be done any more. */
extern void run_break(struct run *run, const struct dicom_error *error);

/* --- item.c --- */

extern void item_move(struct item *item, struct item_list *list);

/* A source begins. */
extern void item_begin(struct run *run, struct source *source);

/* Goes on with one that is pending. */
extern void item_work(struct run *run, struct item *item);

/* It has failed as a whole, and is over as soon as nothing of it is being written. */
extern void item_fail(struct run *run, struct item *item, const struct dicom_error *error, bool from_file);

/* The child, or what stands for it, is done. */
extern void item_finish(struct run *run, struct item *item);

/* What the output has done comes back. */
extern void item_take_written(struct run *run, struct output_task *task);

/* Pictures of former runs are as they should be. */
extern void item_skip(struct run *run, struct item *item, const struct state_note *note);

/* A picture came out of the child: it goes to the output, at once or with what comes next. */
extern void item_take_picture(struct run *run, struct item *item, const struct child_event *event);
extern void item_send_held(struct run *run, struct item *item);

extern void item_free(struct run *run, struct item *item);

/* --- slot.c --- */

/* Makes room for the children, and starts the first. */
extern enum dicom_status slots_open(struct run *run, struct dicom_error *error);
extern void slots_close(struct run *run);

/* Gives ready items to children. */
extern void slots_assign(struct run *run);

/* Listens to a child. */
extern void slot_work(struct run *run, struct slot *slot);

/* --- check.c --- */

/* Opens what former runs have left: pictures, and notes (NULL: none are kept). */
extern enum dicom_status check_open(struct run *run, const struct place_target *pictures,
									const struct place_target *notes, struct dicom_error *error);
extern void check_close(struct run *run);

/* DICOM_OK: the pictures are there, *note says which; DICOM_END: they are to be made; DICOM_PENDING. */
extern enum dicom_status check_item(struct run *run, struct item *item, const struct state_note **note);
extern void check_free(struct check *check);

/* The digest of all that decides how the pictures of an item look. */
extern bool check_fingerprint(struct run *run, const struct item *item, char fingerprint[SHA256_TEXT]);

#endif
