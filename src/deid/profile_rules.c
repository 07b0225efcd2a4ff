/*
 * profile_rules.c
 *	  What a profile does to the attributes of a data set.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "../pg/report.h"
#include "../pg/snapshot_mark.h"
#include "profile_rules.h"
#include "rule_call.h"

#define EVERY_BIT UINT32_C(0xFFFFFFFF)

struct profile_rules
{
	struct profile_rules *next;
	MemoryContext context;
	char *name;
	char *hash; /* of what was read; NULL: none was recorded, so it holds for its snapshot only */
	struct snapshot_mark mark;     /* of the last snapshot for which the hash was found to be the same */
	struct attribute_rule **exact; /* by tag */
	int exact_count;
	struct attribute_rule **patterns; /* with bits that do not count, or a creator */
	int pattern_count;
};

static struct profile_rules *profiles;

/* --- tables --- */

static Relation
open_table(const char *name)
{
	Oid schema = get_namespace_oid("dicom", true);
	Oid relation = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relation))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("dicom.%s does not exist", name),
						errhint("DROP EXTENSION dicom_fdw and create it again.")));
	return table_open(relation, AccessShareLock);
}

/* What `visit` returns true for is the last row that is looked at. */
typedef bool (*visit_row)(HeapTuple tuple, Relation table, void *arg);

static void
visit_table(const char *name, Snapshot snapshot, visit_row visit, void *arg)
{
	Relation table = open_table(name);
	TableScanDesc scan = table_beginscan(table, snapshot, 0, NULL);
	HeapTuple tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		if (visit(tuple, table, arg))
			break;
	table_endscan(scan);
	table_close(table, AccessShareLock);
}

static Datum
column(HeapTuple tuple, Relation table, const char *name, bool *isnull)
{
	AttrNumber number = get_attnum(RelationGetRelid(table), name);

	if (number == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("dicom.%s has no column %s", RelationGetRelationName(table), name)));
	return heap_getattr(tuple, number, RelationGetDescr(table), isnull);
}

/* A text column, palloc'd; NULL for NULL. */
static char *
text_column(HeapTuple tuple, Relation table, const char *name)
{
	bool isnull;
	Datum datum = column(tuple, table, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(datum);
}

static bool
is_of_profile(HeapTuple tuple, Relation table, const char *profile)
{
	char *name = text_column(tuple, table, "profile");
	bool is_it = name && strcmp(name, profile) == 0;

	if (name)
		pfree(name);
	return is_it;
}

struct head
{
	const char *profile;
	const char *hash_column;
	bool exists;
	char *hash;
};

static bool
visit_head(HeapTuple tuple, Relation table, void *arg)
{
	struct head *head = arg;

	if (!is_of_profile(tuple, table, head->profile))
		return false;
	head->exists = true;
	head->hash = text_column(tuple, table, head->hash_column);
	return true;
}

char *
profile_rules_hash(const char *profile, enum profile_part part, Snapshot snapshot)
{
	struct head head = {profile, part == PROFILE_MAPPING ? "mapping_hash" : "attributes_hash"};

	visit_table("anonymization_profile", snapshot, visit_head, &head);
	if (!head.exists)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("profile \"%s\" does not exist", profile),
						errhint("See dicom.anonymization_profile.")));
	return head.hash;
}

/* --- reading --- */

static void
refuse_row(const char *profile, const char *tag, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", what),
					errdetail("Attribute %s of profile \"%s\".", tag, profile),
					errhint("Correct its row in dicom.profile_attribute.")));
}

/* Eight hex digits, or x for any. */
static bool
parse_tag(const char *text, struct attribute_rule *entry)
{
	int i;

	for (i = 0; i < 8; i++)
	{
		char c = text[i];
		uint32 digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 0;

		if (digit == 0 && c != '0' && c != 'x')
			return false;
		entry->tag = entry->tag << 4 | digit;
		entry->mask = entry->mask << 4 | (c == 'x' ? 0 : 15);
	}
	return text[8] == '\0';
}

/* Takes private_creator out of the parameters, which is none of the rule's. */
static Jsonb *
take_creator(Jsonb *params, char **creator)
{
	JsonbValue value;

	*creator = NULL;
	if (!params || !JB_ROOT_IS_OBJECT(params) ||
		!getKeyJsonValueFromContainer(&params->root, "private_creator", 15, &value))
		return params;
	if (value.type == jbvString)
		*creator = pstrdup(text_to_utf8(pnstrdup(value.val.string.val, value.val.string.len)));
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(params), CStringGetTextDatum("private_creator")));
}

static void
add_rule(struct profile_rules *rules, struct attribute_rule *entry)
{
	bool is_exact = entry->mask == EVERY_BIT && !entry->private_creator;
	struct attribute_rule ***list = is_exact ? &rules->exact : &rules->patterns;
	int *count = is_exact ? &rules->exact_count : &rules->pattern_count;

	if ((*count & (*count - 1)) == 0)
		*list = *list ? repalloc(*list, 2 * *count * sizeof(**list)) : palloc(sizeof(**list));
	(*list)[(*count)++] = entry;
}

static bool
visit_attribute(HeapTuple tuple, Relation table, void *arg)
{
	struct profile_rules *rules = arg;
	struct attribute_rule *entry;
	struct rule_call *call;
	struct dicom_error error;
	char *creator;
	char *tag;
	char *action;
	bool isnull;
	Datum params;

	if (!is_of_profile(tuple, table, rules->name))
		return false;
	tag = text_column(tuple, table, "tag");
	action = text_column(tuple, table, "action");
	params = column(tuple, table, "params", &isnull);
	entry = palloc0(sizeof(*entry));
	call = palloc0(sizeof(*call));
	if (!parse_tag(tag, entry))
		refuse_row(rules->name, tag, "the tag is not of eight hex digits");
	if (!rule_call_parse(call, text_column(tuple, table, "rule"),
						 take_creator(isnull ? NULL : DatumGetJsonbPCopy(params), &creator), rules->context,
						 &error))
		refuse_row(rules->name, tag, error.message);
	entry->rule = call->rule;
	entry->private_creator = creator;
	entry->stays_empty = action && !strchr(action, 'X');
	add_rule(rules, entry);
	return false;
}

static int
compare_tags(const void *a, const void *b)
{
	uint32 left = (*(struct attribute_rule *const *) a)->tag;
	uint32 right = (*(struct attribute_rule *const *) b)->tag;

	return left < right ? -1 : left > right;
}

static struct profile_rules *
read_rules(const char *profile, const char *hash, Snapshot snapshot)
{
	/* Where reading fails what there is so far goes with the transaction. */
	MemoryContext context =
		AllocSetContextCreate(CurTransactionContext, "dicom_fdw profile", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	struct profile_rules *rules = palloc0(sizeof(*rules));

	rules->context = context;
	rules->name = pstrdup(profile);
	rules->hash = hash ? pstrdup(hash) : NULL;
	visit_table("profile_attribute", snapshot, visit_attribute, rules);
	if (rules->exact_count > 0)
		qsort(rules->exact, rules->exact_count, sizeof(*rules->exact), compare_tags);
	snapshot_mark_set(&rules->mark, snapshot, context);
	MemoryContextSwitchTo(old);
	if (rules->exact_count + rules->pattern_count == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("profile \"%s\" has no rules for attributes", profile),
						errhint("Give it rows in dicom.profile_attribute.")));
	MemoryContextSetParent(context, TopMemoryContext);
	return rules;
}

/* --- the session's profiles --- */

static struct profile_rules **
find_profile(const char *name)
{
	struct profile_rules **place = &profiles;

	while (*place && strcmp((*place)->name, name) != 0)
		place = &(*place)->next;
	return place;
}

static void
forget(struct profile_rules **place)
{
	struct profile_rules *rules = *place;

	*place = rules->next;
	MemoryContextDelete(rules->context);
}

static struct profile_rules *
refreshed(const char *profile, Snapshot snapshot)
{
	struct profile_rules **place = find_profile(profile);
	char *hash = profile_rules_hash(profile, PROFILE_ATTRIBUTES, snapshot);

	if (*place && hash && (*place)->hash && strcmp(hash, (*place)->hash) == 0)
	{
		snapshot_mark_set(&(*place)->mark, snapshot, (*place)->context);
		return *place;
	}
	if (*place)
		forget(place);
	place = find_profile(profile);
	*place = read_rules(profile, hash, snapshot);
	return *place;
}

const struct profile_rules *
profile_rules_get(const char *profile)
{
	bool registered;
	Snapshot snapshot = snapshot_at_hand(&registered);
	struct profile_rules *rules = *find_profile(profile);

	if (!rules || !snapshot_mark_holds(&rules->mark, snapshot))
		rules = refreshed(profile, snapshot);
	snapshot_release(snapshot, registered);
	return rules;
}

static bool
is_creator(const struct attribute_rule *entry, struct deid_text creator)
{
	return creator.text && strlen(entry->private_creator) == creator.length &&
		   memcmp(entry->private_creator, creator.text, creator.length) == 0;
}

const struct attribute_rule *
profile_rules_find(const struct profile_rules *rules, uint32 tag, struct deid_text private_creator)
{
	struct attribute_rule key = {.tag = tag};
	struct attribute_rule *wanted = &key;
	struct attribute_rule **found = NULL;
	int i;

	if (rules->exact_count > 0)
		found = bsearch(&wanted, rules->exact, rules->exact_count, sizeof(*rules->exact), compare_tags);
	if (found)
		return *found;
	for (i = 0; i < rules->pattern_count; i++)
	{
		const struct attribute_rule *entry = rules->patterns[i];

		if ((tag & entry->mask) == entry->tag &&
			(!entry->private_creator || is_creator(entry, private_creator)))
			return entry;
	}
	return NULL;
}

bool
profile_rules_has_creator(const struct profile_rules *rules, struct deid_text private_creator)
{
	int i;

	for (i = 0; i < rules->pattern_count; i++)
		if (rules->patterns[i]->private_creator && is_creator(rules->patterns[i], private_creator))
			return true;
	return false;
}
