/*
 * check.c
 *	  Whether a former run has made the pictures of a source already.
 *
 * A directory's ledger tells at once. In a bucket a note is looked up, unless it is known that there is none: the first page of their
 * listing is read once, and tells all where there is no second one. A note of the same etag and fingerprint counts if every picture it
 * names is there in its length.
 */
#include "run.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_NOTE ((size_t) 16 * 1024) /* bytes to read of a note at first */
#define MOST_NOTE  ((size_t) 64 << 20)
#define LOOKS      8 /* at pictures, at a time */

enum check_phase
{
	CHECK_NOTE,
	CHECK_ETAG,
	CHECK_PICTURES
};

struct look
{
	struct store_read *read; /* NULL: none */
	uint64_t expected;
	char byte;
};

struct check
{
	enum check_phase phase;
	struct store_read *read;
	char *bytes;
	size_t room;
	char byte;
	char etag[128]; /* of the source */
	struct state_note note;
	struct look looks[LOOKS];
	uint32_t next; /* picture to be looked at */
};

/* --- the notes there are --- */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool
keep_name(struct run *run, const char *name)
{
	char **more = realloc(run->known_notes, sizeof(*more) * ((size_t) run->known_count + 1));

	if (more == NULL)
		return false;
	run->known_notes = more;
	more[run->known_count] = strdup(name);
	return more[run->known_count++] != NULL;
}

/* Lists the first page of notes. This is also where a store that cannot be reached is noticed. */
static enum dicom_status
list_notes(struct run *run, struct dicom_error *error)
{
	struct store_list_request request = {.prefix = run->note_prefix, .page_size = 1000, .limit = 1000};
	struct store_object object;
	struct store_list *list;
	enum dicom_status status;

	if (store_list_open(run->note_store, &request, &list, error) != DICOM_OK)
		return DICOM_FAILED;
	while ((status = store_list_next(list, &object, error)) != DICOM_END)
	{
		if (status == DICOM_OK && !keep_name(run, object.key))
			status = dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
		if (status == DICOM_PENDING)
			status = store_wait(run->note_store, -1, error);
		if (status == DICOM_FAILED)
			break;
	}
	store_list_close(list);
	run->knows_all = status == DICOM_END && run->known_count < 1000;
	if (run->known_count > 0)
		qsort(run->known_notes, (size_t) run->known_count, sizeof(*run->known_notes), compare_names);
	return status == DICOM_FAILED ? status : DICOM_OK;
}

enum dicom_status
check_open(struct run *run, const struct place_target *pictures, const struct place_target *notes,
		   struct dicom_error *error)
{
	if (store_open(&pictures->options, NULL, &run->picture_store, error) != DICOM_OK)
		return DICOM_FAILED;
	run->picture_prefix = pictures->prefix;
	run->has_notes = notes != NULL;
	if (notes == NULL)
		return DICOM_OK;
	run->note_prefix = notes->prefix;
	if (store_open(&notes->options, NULL, &run->note_store, error) != DICOM_OK)
		return DICOM_FAILED;
	if (store_is_remote(run->note_store))
		return list_notes(run, error);
	return ledger_open(run->note_store, run->note_prefix, &run->ledger, error);
}

void
check_close(struct run *run)
{
	while (run->known_count > 0)
		free(run->known_notes[--run->known_count]);
	free(run->known_notes);
	dicom_buffer_free(&run->note_name);
	ledger_close(run->ledger);
	store_close(run->note_store);
	store_close(run->picture_store);
}

bool
check_fingerprint(struct run *run, const struct item *item, char fingerprint[SHA256_TEXT])
{
	const struct source *source = &item->source;
	bool is_usual = !source->template && !source->frames;
	struct dicom_buffer text = {0};
	bool done;

	if (is_usual && run->fingerprint[0] != '\0')
	{
		memcpy(fingerprint, run->fingerprint, SHA256_TEXT);
		return true;
	}
	options_fingerprint(run->options, source->template ? source->template : run->options->key,
						source->frames ? source->frames : run->options->frames, &text);
	done = !text.failed && digest_text(text.data, text.length, fingerprint);
	dicom_buffer_free(&text);
	if (done && is_usual)
		memcpy(run->fingerprint, fingerprint, SHA256_TEXT);
	return done;
}

/* --- one source --- */

void
check_free(struct check *check)
{
	int i;

	if (check == NULL)
		return;
	store_read_close(check->read);
	for (i = 0; i < LOOKS; i++)
		store_read_close(check->looks[i].read);
	state_free(&check->note);
	free(check->bytes);
	free(check);
}

static bool
may_exist(const struct run *run, const char *name)
{
	return !run->knows_all || bsearch(&name, run->known_notes, (size_t) run->known_count,
									  sizeof(*run->known_notes), compare_names) != NULL;
}

static bool
ask_note(struct run *run, struct check *check, const char *key, size_t room)
{
	struct store_read_request request = {.key = key, .length = room};
	char *bytes = realloc(check->bytes, room);

	if (bytes == NULL)
		return false;
	request.buffer = check->bytes = bytes;
	check->room = room;
	return store_read_open(run->note_store, &request, &check->read, NULL) == DICOM_OK;
}

static void
copy_etag(struct check *check, const char *etag)
{
	if (etag && strlen(etag) < sizeof(check->etag))
		strcpy(check->etag, etag);
}

/* Asks what the source is now, where that is not known from a listing. */
static enum dicom_status
ask_etag(struct run *run, struct item *item)
{
	struct store_read_request request = {.key = item->source.key, .length = 1, .buffer = &item->check->byte};
	struct store *store;

	item->check->phase = CHECK_ETAG;
	copy_etag(item->check, item->source.etag);
	if (item->check->etag[0])
		return DICOM_OK;
	if (stores_get(run->stores, item->source.place, &store, NULL) != DICOM_OK ||
		store_read_open(store, &request, &item->check->read, NULL) != DICOM_OK)
		return DICOM_END;
	return DICOM_OK;
}

/* Is the note about pictures of the kind that is wanted? */
static enum dicom_status
judge_note(struct run *run, struct item *item)
{
	char fingerprint[SHA256_TEXT];

	if (!check_fingerprint(run, item, fingerprint) || strcmp(fingerprint, item->check->note.fingerprint) != 0)
		return DICOM_END;
	return ask_etag(run, item);
}

static enum dicom_status
take_note(struct run *run, struct item *item)
{
	struct check *check = item->check;
	struct store_object object;
	size_t got;
	enum dicom_status status = store_read_result(check->read, &got, &object, NULL);

	if (status != DICOM_OK)
		return status == DICOM_PENDING ? status : DICOM_END;
	if (got == check->room && object.size > got && object.size <= MOST_NOTE)
	{
		dicom_buffer_reset(&run->note_name);
		dicom_buffer_append_string(&run->note_name, object.key);
		store_read_close(check->read);
		check->read = NULL;
		if (run->note_name.failed || !ask_note(run, check, run->note_name.data, (size_t) object.size))
			return DICOM_END;
		return take_note(run, item);
	}
	store_read_close(check->read);
	check->read = NULL;
	return state_read(check->bytes, got, &check->note) ? judge_note(run, item) : DICOM_END;
}

/* Looks for the note. DICOM_END where there is none. */
static enum dicom_status
begin(struct run *run, struct item *item)
{
	struct dicom_buffer *name = &run->note_name;

	item->check = calloc(1, sizeof(*item->check));
	if (item->check == NULL)
		return DICOM_END;
	if (run->ledger)
		return ledger_find(run->ledger, item->note.source, &item->check->note) ? judge_note(run, item)
																			   : DICOM_END;
	dicom_buffer_reset(name);
	dicom_buffer_append_string(name, run->note_prefix);
	state_append_name(name, item->note.source);
	if (name->failed || !may_exist(run, name->data) || !ask_note(run, item->check, name->data, FIRST_NOTE))
		return DICOM_END;
	return DICOM_OK;
}

static enum dicom_status
take_etag(struct item *item)
{
	struct check *check = item->check;
	struct store_object object;
	size_t got;
	enum dicom_status status;

	if (check->read)
	{
		status = store_read_result(check->read, &got, &object, NULL);
		if (status != DICOM_OK)
			return status == DICOM_PENDING ? status : DICOM_END;
		copy_etag(check, object.etag);
		store_read_close(check->read);
		check->read = NULL;
	}
	check->phase = CHECK_PICTURES;
	return check->etag[0] && strcmp(check->etag, check->note.etag) == 0 ? DICOM_OK : DICOM_END;
}

/* Looks at the next picture. DICOM_END where it cannot be there. */
static enum dicom_status
ask_picture(struct run *run, struct check *check, struct look *look)
{
	const struct picture_note *picture = &check->note.pictures[check->next++];
	struct store_read_request request = {.length = 1, .buffer = &look->byte};
	struct dicom_buffer key = {0};
	enum dicom_status status = DICOM_FAILED;

	dicom_buffer_append_string(&key, run->picture_prefix);
	dicom_buffer_append_string(&key, picture->key);
	request.key = key.data;
	look->expected = picture->bytes;
	if (!key.failed)
		status = store_read_open(run->picture_store, &request, &look->read, NULL);
	dicom_buffer_free(&key);
	return status == DICOM_OK ? DICOM_OK : DICOM_END;
}

/* DICOM_END where the picture is not there, or has another length. */
static enum dicom_status
take_look(struct look *look)
{
	struct store_object object;
	size_t got;
	enum dicom_status status = store_read_result(look->read, &got, &object, NULL);

	if (status == DICOM_PENDING)
		return status;
	if (status == DICOM_FAILED || object.size != look->expected)
		return DICOM_END;
	store_read_close(look->read);
	look->read = NULL;
	return DICOM_OK;
}

/* DICOM_OK where all pictures are there in their length. */
static enum dicom_status
look_at_pictures(struct run *run, struct check *check)
{
	bool pending = false;
	int i;

	for (i = 0; i < LOOKS; i++)
	{
		struct look *look = &check->looks[i];
		enum dicom_status status = DICOM_OK;

		while (status == DICOM_OK && (look->read || check->next < check->note.count))
			status = look->read ? take_look(look) : ask_picture(run, check, look);
		if (status == DICOM_END)
			return status;
		pending |= status == DICOM_PENDING;
	}
	return pending ? DICOM_PENDING : DICOM_OK;
}

enum dicom_status
check_item(struct run *run, struct item *item, const struct state_note **note)
{
	enum dicom_status status = DICOM_OK;

	if (!run->has_notes || run->options->overwrite)
		return DICOM_END;
	if (item->check == NULL)
		status = begin(run, item);
	if (status == DICOM_OK && item->check->phase == CHECK_NOTE)
		status = take_note(run, item);
	if (status == DICOM_OK && item->check->phase == CHECK_ETAG)
		status = take_etag(item);
	if (status == DICOM_OK)
		status = look_at_pictures(run, item->check);
	*note = item->check ? &item->check->note : NULL;
	return status;
}
