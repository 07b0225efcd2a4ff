/*
 * keyring.c
 *	  The keys.
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../pg/compat.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "../pg/command.h"
#include "../pg/settings.h"
#include "../pg/snapshot_mark.h"
#include "keyring.h"
#include "keyring_text.h"

SQL_FUNCTION(dicom_active_epoch);
SQL_FUNCTION(dicom_keyring);

/* Where the keys at hand came from, so that a change is seen. */
struct source
{
	char *name; /* path or command */
	bool is_file;
	struct stat status;    /* of the file */
	TimestampTz loaded_at; /* the command: the configuration that was in force */
};

/* A row of dicom.epoch. */
struct recorded_epoch
{
	int32 epoch;
	char key_id[DEID_KEY_ID_LENGTH + 1];
	bool is_active;
};

static struct
{
	struct keyring_memory *memory;
	MemoryContext context; /* of all below */
	struct source source;
	struct recorded_epoch *recorded;
	int recorded_count;
	struct snapshot_mark mark; /* of the snapshot that all this is as of */
	const struct keyring_entry *active;
} keyring;

/* --- errors: what they say of the server's files is for those who may see its settings --- */

static void
refuse(const char *detail, const char *hint)
{
	bool may_see = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_SETTINGS);

	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("the keys for de-identification cannot be read"),
			 may_see ? errdetail_internal("%s", detail) : errdetail_log("%s", detail),
			 hint ? errhint("%s", hint) : 0));
}

static void
refuse_epoch(int32 epoch, const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("the key of epoch %d %s", epoch, what), errhint("%s", hint)));
}

/* --- the file --- */

static bool
is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* A base backup, and whoever may read files of the cluster, would have the keys with the data. */
static void
check_place(const char *path)
{
	char real[PATH_MAX];
	char data[PATH_MAX];

	if (!is_absolute_path(path))
		refuse(psprintf("The path \"%s\" is not absolute.", path), NULL);
	if (!realpath(path, real) || !realpath(DataDir, data))
		refuse(psprintf("File \"%s\": %s.", path, strerror(errno)), NULL);
	if (is_below(real, data))
		refuse(psprintf("File \"%s\" is inside of the data directory.", path),
			   "Keep keys apart from the data that they protect.");
}

static void
check_status(const char *path, const struct stat *status)
{
	if (!S_ISREG(status->st_mode))
		refuse(psprintf("\"%s\" is not a regular file.", path), NULL);
	if (status->st_uid != geteuid() && status->st_uid != 0)
		refuse(psprintf("File \"%s\" belongs to neither the server's user nor root.", path), NULL);
	if (status->st_mode & (S_IRWXG | S_IRWXO))
		refuse(psprintf("File \"%s\" may be used by its group or others.", path),
			   "Set its mode to 0600 or less.");
	if (status->st_size >= KEYRING_TEXT_MAX)
		refuse(psprintf("File \"%s\" is longer than %d bytes.", path, KEYRING_TEXT_MAX - 1), NULL);
}

static size_t
read_descriptor(int descriptor, const char *path, char *buffer, size_t size)
{
	size_t length = 0;
	ssize_t count;

	while ((count = read(descriptor, buffer + length, size - length)) != 0)
	{
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			refuse(psprintf("File \"%s\": %s.", path, strerror(errno)), NULL);
		length += count;
		if (length == size)
			refuse(psprintf("File \"%s\" is longer than %zu bytes.", path, size - 1), NULL);
	}
	return length;
}

/* What was checked is what is read: by the descriptor, not by the name. */
static size_t
read_file(const char *path, struct stat *status, char *buffer, size_t size)
{
	int descriptor;
	size_t length;

	check_place(path);
	descriptor = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | PG_BINARY);
	if (descriptor < 0 || fstat(descriptor, status) != 0)
		refuse(psprintf("File \"%s\": %s.", path, strerror(errno)), NULL);
	check_status(path, status);
	length = read_descriptor(descriptor, path, buffer, size);
	CloseTransientFile(descriptor);
	return length;
}

/* --- loading --- */

static void
wipe_at_exit(int code, Datum arg)
{
	keyring_memory_wipe(keyring.memory);
}

static void
prepare_memory(void)
{
	if (keyring.memory)
		return;
	keyring.context = AllocSetContextCreate(TopMemoryContext, "dicom_fdw keyring", ALLOCSET_SMALL_SIZES);
	keyring.memory = keyring_memory_create();
	if (!keyring.memory)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	on_proc_exit(wipe_at_exit, 0);
}

static void
forget(void)
{
	snapshot_mark_clear(&keyring.mark);
	keyring.active = NULL;
	if (keyring.source.name)
		pfree(keyring.source.name);
	keyring.source.name = NULL;
	keyring_memory_wipe(keyring.memory);
}

static void
parse_text(const struct source *source, size_t length)
{
	int line;
	const char *problem = keyring_parse(keyring.memory, length, &line);

	if (problem)
		refuse(source->is_file ? psprintf("File \"%s\", line %d: %s.", source->name, line, problem)
							   : psprintf("Output of dicom_fdw.key_command, line %d: %s.", line, problem),
			   "A line is the number of an epoch, a blank, and 64 hex digits; or a comment behind #.");
	if (keyring.memory->count == 0)
		refuse(source->is_file ? psprintf("File \"%s\" holds no key.", source->name)
							   : "The output of dicom_fdw.key_command holds no key.",
			   "A line is the number of an epoch, a blank, and 64 hex digits; or a comment behind #.");
}

/* Which of the two settings holds, as the process would read it now. */
static struct source
configured_source(void)
{
	struct source source = {0};
	bool has_file = setting_key_file && setting_key_file[0];
	bool has_command = setting_key_command && setting_key_command[0];

	if (!has_file && !has_command)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("there is no key for de-identification"),
						errhint("Set dicom_fdw.key_file or dicom_fdw.key_command.")));
	if (has_file && has_command)
		refuse("Both dicom_fdw.key_file and dicom_fdw.key_command are set.", "Set one of them.");
	source.is_file = has_file;
	source.name = has_file ? setting_key_file : setting_key_command;
	source.loaded_at = PgReloadTime;
	return source;
}

static void
load(struct source source)
{
	forget();
	PG_TRY();
	{
		char *text = keyring.memory->text;
		size_t length = source.is_file
							? read_file(source.name, &source.status, text, KEYRING_TEXT_MAX)
							: command_output("dicom_fdw.key_command", source.name, text, KEYRING_TEXT_MAX);

		parse_text(&source, length);
		source.name = MemoryContextStrdup(keyring.context, source.name);
		keyring.source = source;
	}
	PG_CATCH();
	{
		keyring_memory_wipe(keyring.memory);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		   a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		   a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
		   a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* A file that has gone, or whose links lead elsewhere, is found out by loading it. */
static bool
has_changed(const struct source *configured)
{
	const struct source *loaded = &keyring.source;
	struct stat status;

	if (!loaded->name || loaded->is_file != configured->is_file ||
		strcmp(loaded->name, configured->name) != 0)
		return true;
	if (!loaded->is_file)
		return loaded->loaded_at != configured->loaded_at;
	return stat(loaded->name, &status) != 0 || !is_same_file(&status, &loaded->status);
}

/* --- dicom.epoch --- */

static Oid
epoch_relation(void)
{
	Oid schema = get_namespace_oid("dicom", true);
	Oid relation = OidIsValid(schema) ? get_relname_relid("epoch", schema) : InvalidOid;

	if (!OidIsValid(relation))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("dicom.epoch does not exist"),
						errhint("DROP EXTENSION dicom_fdw and create it again.")));
	return relation;
}

static Datum
column(HeapTuple tuple, Relation relation, const char *name, bool *isnull)
{
	return heap_getattr(tuple, get_attnum(RelationGetRelid(relation), name), RelationGetDescr(relation),
						isnull);
}

static void
add_recorded(HeapTuple tuple, Relation relation)
{
	struct recorded_epoch *row;
	bool isnull;

	keyring.recorded = repalloc(keyring.recorded, (keyring.recorded_count + 1) * sizeof(*keyring.recorded));
	row = &keyring.recorded[keyring.recorded_count++];
	row->epoch = DatumGetInt32(column(tuple, relation, "epoch", &isnull));
	strlcpy(row->key_id, TextDatumGetCString(column(tuple, relation, "key_id", &isnull)),
			sizeof(row->key_id));
	column(tuple, relation, "retired_at", &row->is_active);
}

/* Whoever may make pseudonyms need not be allowed to read the table. */
static void
read_recorded(Snapshot snapshot)
{
	Relation relation = table_open(epoch_relation(), AccessShareLock);
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
	HeapTuple tuple;

	if (!keyring.recorded)
		keyring.recorded = MemoryContextAlloc(keyring.context, sizeof(*keyring.recorded));
	keyring.recorded_count = 0;
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		add_recorded(tuple, relation);
	table_endscan(scan);
	table_close(relation, AccessShareLock);
}

static const struct recorded_epoch *
find_recorded(int32 epoch)
{
	int i;

	for (i = 0; i < keyring.recorded_count; i++)
		if (keyring.recorded[i].epoch == epoch)
			return &keyring.recorded[i];
	return NULL;
}

static struct keyring_entry *
find_entry(int32 epoch)
{
	int i;

	for (i = 0; i < keyring.memory->count; i++)
		if (keyring.memory->entries[i].epoch == epoch)
			return &keyring.memory->entries[i];
	return NULL;
}

/* The entry of an epoch, if its key is the one that was used before. */
static const struct keyring_entry *
checked_entry(int32 epoch)
{
	struct keyring_entry *entry = find_entry(epoch);
	const struct recorded_epoch *recorded;

	if (!entry)
		refuse_epoch(epoch, "is not there",
					 "Put it back into what dicom_fdw.key_file or dicom_fdw.key_command gives.");
	if (entry->checked)
		return entry;
	recorded = find_recorded(epoch);
	if (recorded && strcmp(recorded->key_id, entry->key.id) != 0)
		refuse_epoch(epoch, "is not the one that was used before",
					 "Put the old key back; a new key needs an epoch of its own, see dicom.new_epoch().");
	entry->checked = true;
	return entry;
}

static const struct keyring_entry *
find_active(void)
{
	int i;

	for (i = 0; i < keyring.recorded_count; i++)
		if (keyring.recorded[i].is_active)
			return checked_entry(keyring.recorded[i].epoch);
	if (keyring.recorded_count > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("no epoch is active"),
						errdetail("Every row of dicom.epoch has been retired.")));
	return checked_entry(keyring.memory->entries[0].epoch);
}

/* Makes the keys and what is recorded of them those of a snapshot: one statement uses one epoch, the next may use another. */
static void
refresh(Snapshot snapshot)
{
	struct source configured = configured_source();
	int i;

	prepare_memory();
	snapshot_mark_clear(&keyring.mark);
	keyring.active = NULL;
	if (has_changed(&configured))
		load(configured);
	read_recorded(snapshot);
	for (i = 0; i < keyring.memory->count; i++)
		keyring.memory->entries[i].checked = false;
	snapshot_mark_set(&keyring.mark, snapshot, keyring.context);
}

static void
make_current(void)
{
	bool registered;
	Snapshot snapshot = snapshot_at_hand(&registered);

	if (!snapshot_mark_holds(&keyring.mark, snapshot))
		refresh(snapshot);
	snapshot_release(snapshot, registered);
}

/* --- what others call --- */

int32
keyring_checked_epoch(int32 epoch)
{
	if (epoch < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("an epoch must not be negative")));
	return epoch;
}

static const struct keyring_entry *
current_entry(int32 epoch)
{
	make_current();
	if (epoch != ACTIVE_EPOCH)
		return checked_entry(epoch);
	if (!keyring.active)
		keyring.active = find_active();
	return keyring.active;
}

const struct deid_key *
keyring_key(int32 epoch)
{
	return &current_entry(epoch)->key;
}

Datum
dicom_active_epoch(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(current_entry(ACTIVE_EPOCH)->epoch);
}

Datum
dicom_keyring(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int i;

	InitMaterializedSRF(fcinfo, 0);
	prepare_memory();
	load(configured_source());
	for (i = 0; i < keyring.memory->count; i++)
	{
		const struct keyring_entry *entry = &keyring.memory->entries[i];
		Datum values[] = {Int32GetDatum(entry->epoch), CStringGetTextDatum(entry->key.id),
						  Int32GetDatum(entry->line)};
		bool nulls[lengthof(values)] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
