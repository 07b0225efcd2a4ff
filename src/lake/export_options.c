/*
 * export_options.c
 *	  The options of dicom.export_parquet().
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "export_options.h"

static void
refuse(const char *name, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("option \"%s\" must be %s", name, what)));
}

static char *
text_of(const char *name, const JsonbValue *value)
{
	if (value->type != jbvString)
		refuse(name, "a string");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static int64
number_of(const char *name, const JsonbValue *value, int64 least, int64 most)
{
	int64 number = 0;

	if (value->type == jbvNumeric)
		number = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
	if (value->type != jbvNumeric || number < least || number > most)
		refuse(name, psprintf("a number from " INT64_FORMAT " to " INT64_FORMAT, least, most));
	return number;
}

static bool
flag_of(const char *name, const JsonbValue *value)
{
	if (value->type != jbvBool)
		refuse(name, "true or false");
	return value->val.boolean;
}

static List *
names_of(const char *name, JsonbValue *value)
{
	List *names = NIL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data) ||
		JsonContainerIsScalar(value->val.binary.data))
		refuse(name, "an array of column names");
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			names = lappend(names, text_of(name, &element));
	}
	return names;
}

static enum parquet_compression
compression_of(const char *name, const JsonbValue *value)
{
	static const char *const words[] = {
		[PARQUET_ZSTD] = "zstd", [PARQUET_SNAPPY] = "snappy", [PARQUET_UNCOMPRESSED] = "none"};
	char *word = text_of(name, value);
	int i;

	for (i = 0; i < (int) lengthof(words); i++)
	{
		if (strcmp(word, words[i]) == 0)
			return (enum parquet_compression) i;
	}
	refuse(name, "'zstd', 'snappy' or 'none'");
	return PARQUET_ZSTD;
}

static void
set_option(struct export_options *options, const char *name, JsonbValue *value)
{
	if (strcmp(name, "compression") == 0)
		options->parquet.compression = compression_of(name, value);
	else if (strcmp(name, "level") == 0)
		options->parquet.level = (int) number_of(name, value, 1, 19);
	else if (strcmp(name, "row_group_rows") == 0)
		options->parquet.row_group_rows = (uint32_t) number_of(name, value, 1, 100000000);
	else if (strcmp(name, "row_group_bytes") == 0)
		options->parquet.row_group_bytes = (uint64_t) number_of(name, value, 65536, (int64) 512 << 20);
	else if (strcmp(name, "threads") == 0)
		options->parquet.threads = (int) number_of(name, value, 1, 16);
	else if (strcmp(name, "partition_by") == 0)
		options->partition_by = names_of(name, value);
	else if (strcmp(name, "file_name") == 0)
		options->file_name = text_of(name, value);
	else if (strcmp(name, "bloom_filters") == 0)
	{
		options->bloom_filters = names_of(name, value);
		options->bloom_given = true;
	}
	else if (strcmp(name, "overwrite") == 0)
		options->overwrite = flag_of(name, value);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no option \"%s\"", name),
				 errhint("Options are bloom_filters, compression, file_name, level, overwrite, partition_by, "
						 "row_group_bytes, row_group_rows and threads.")));
}

struct export_options *
export_options_read(Jsonb *json)
{
	struct export_options *options = palloc0(sizeof(*options));
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue key, value;

	options->file_name = "data.parquet";
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object")));
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		set_option(options, pnstrdup(key.val.string.val, key.val.string.len), &value);
	}
	return options;
}
