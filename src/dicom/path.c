/*
 * path.c
 *	  Reading, following and writing the paths of elements.
 */
#include <string.h>

#include "dictionary.h"
#include "hex.h"
#include "path.h"

#define LONGEST_KEYWORD 64

/* What is left of the text of a path. */
struct cursor
{
	const char *at;
	const char *end;
};

static bool
take(struct cursor *cursor, char c)
{
	if (cursor->at == cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	return true;
}

static void
skip_blanks(struct cursor *cursor)
{
	while (take(cursor, ' '))
		;
}

/* Between `least` and `most` hexadecimal digits. */
static bool
take_hex(struct cursor *cursor, int least, int most, uint32_t *number)
{
	int digits = 0;

	*number = 0;
	while (digits < most && cursor->at < cursor->end && hex_digit(*cursor->at) >= 0)
	{
		*number = *number << 4 | (uint32_t) hex_digit(*cursor->at++);
		digits++;
	}
	return digits >= least;
}

static bool
is_name_character(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* ---- keywords ---- */

/* A name without what does not count: small letters and digits. Returns its length. */
static int
normalise(const char *name, size_t length, char *normal)
{
	int used = 0;
	size_t i;

	for (i = 0; i < length && used < LONGEST_KEYWORD; i++)
		if (name[i] != '_')
			normal[used++] = (char) (name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	return used;
}

/* How many letters must change, come or go to make one name of the other. */
static int
edit_distance(const char *a, int a_length, const char *b, int b_length)
{
	int row[LONGEST_KEYWORD + 1];
	int i, j;

	for (j = 0; j <= b_length; j++)
		row[j] = j;
	for (i = 1; i <= a_length; i++)
	{
		int diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= b_length; j++)
		{
			int above = row[j];
			int best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[b_length];
}

/* The keyword that a misspelt one most likely means; NULL where none is near. */
static const char *
closest_keyword(const char *name, size_t length)
{
	char wrong[LONGEST_KEYWORD];
	char right[LONGEST_KEYWORD];
	int wrong_length = normalise(name, length, wrong);
	int nearest = wrong_length / 3 + 1;
	const struct dicom_dictionary_entry *entry;
	const char *closest = NULL;
	size_t i;

	for (i = 0; (entry = dicom_dictionary_entry_at(i)); i++)
	{
		int right_length = normalise(entry->keyword, strlen(entry->keyword), right);
		int distance;

		if (right_length - wrong_length >= nearest || wrong_length - right_length >= nearest)
			continue;
		distance = edit_distance(wrong, wrong_length, right, right_length);
		if (distance < nearest)
		{
			nearest = distance;
			closest = entry->keyword;
		}
	}
	return closest;
}

static enum dicom_status
parse_keyword(struct cursor *cursor, struct dicom_path_step *step, struct dicom_error *error)
{
	const char *name = cursor->at;
	const struct dicom_dictionary_entry *entry;
	const char *closest;
	size_t length;

	while (cursor->at < cursor->end && is_name_character(*cursor->at))
		cursor->at++;
	length = (size_t) (cursor->at - name);
	entry = dicom_dictionary_by_keyword(name, length);
	if (length > 0 && entry)
	{
		step->tag = entry->tag;
		return DICOM_OK;
	}
	dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "\"%.*s\" is no attribute of the data dictionary",
			   length > LONGEST_KEYWORD ? LONGEST_KEYWORD : (int) length, name);
	closest = closest_keyword(name, length);
	if (closest)
		dicom_hint(error, "perhaps \"%s\" is meant", closest);
	else
		dicom_hint(error, "write a keyword such as PatientID, or a tag such as 00100020");
	return DICOM_FAILED;
}

/* ---- steps ---- */

static enum dicom_status
fail_syntax(struct dicom_error *error, const char *what)
{
	dicom_fail(error, DICOM_ERROR_INVALID_OPTION, "%s in the path of an element", what);
	return dicom_hint(error,
					  "paths look like PatientID, 00100020, (0029,\"CREATOR\",10) or Sequence[1].Attribute");
}

/* "CREATOR",ee behind the group; quotation marks inside double. */
static enum dicom_status
parse_private(struct cursor *cursor, uint32_t group, struct dicom_path_step *step, struct dicom_error *error)
{
	size_t length = 0;
	uint32_t element;

	while (cursor->at < cursor->end)
	{
		char c = *cursor->at++;

		if (c == '"' && !take(cursor, '"'))
			break;
		if (length + 1 == sizeof(step->creator))
			return fail_syntax(error, "a private creator of more than 64 bytes");
		step->creator[length++] = c;
	}
	step->creator[length] = '\0';
	skip_blanks(cursor);
	if (length == 0 || !take(cursor, ','))
		return fail_syntax(error, "a private creator that is empty or not followed by a comma");
	skip_blanks(cursor);
	if (!take_hex(cursor, 2, 2, &element) || !(group & 1))
		return fail_syntax(error, "a private element without odd group and two hexadecimal digits");
	step->tag = group << 16 | element;
	return DICOM_OK;
}

/* gggg,eeee or gggg,"CREATOR",ee */
static enum dicom_status
parse_pair(struct cursor *cursor, struct dicom_path_step *step, struct dicom_error *error)
{
	uint32_t group, element;

	skip_blanks(cursor);
	if (!take_hex(cursor, 4, 4, &group))
		return fail_syntax(error, "a group that is not four hexadecimal digits");
	skip_blanks(cursor);
	if (!take(cursor, ','))
		return fail_syntax(error, "no comma behind the group");
	skip_blanks(cursor);
	if (take(cursor, '"'))
		return parse_private(cursor, group, step, error);
	if (!take_hex(cursor, 4, 4, &element))
		return fail_syntax(error, "an element that is not four hexadecimal digits");
	step->tag = group << 16 | element;
	return DICOM_OK;
}

/* True where the cursor stands before so many hexadecimal digits and then one of the characters, or the end. */
static bool
is_hex_before(const struct cursor *cursor, int digits, const char *behind)
{
	struct cursor ahead = *cursor;
	uint32_t number;

	if (!take_hex(&ahead, digits, digits, &number))
		return false;
	return ahead.at == ahead.end ? *behind == '.' : strchr(behind, *ahead.at) != NULL;
}

static enum dicom_status
parse_name(struct cursor *cursor, struct dicom_path_step *step, struct dicom_error *error)
{
	enum dicom_status status;

	if (take(cursor, '('))
	{
		status = parse_pair(cursor, step, error);
		skip_blanks(cursor);
		if (status == DICOM_OK && !take(cursor, ')'))
			return fail_syntax(error, "a parenthesis that is not closed");
		return status;
	}
	if (is_hex_before(cursor, 4, ", "))
		return parse_pair(cursor, step, error);
	if (is_hex_before(cursor, 8, ".["))
	{
		take_hex(cursor, 8, 8, &step->tag);
		return DICOM_OK;
	}
	return parse_keyword(cursor, step, error);
}

/* [n], counted from 1. */
static enum dicom_status
parse_item(struct cursor *cursor, struct dicom_path_step *step, struct dicom_error *error)
{
	if (!take(cursor, '['))
		return DICOM_OK;
	while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9' && step->item < 100000000)
		step->item = step->item * 10 + (uint32_t) (*cursor->at++ - '0');
	if (step->item == 0 || !take(cursor, ']'))
		return fail_syntax(error, "an item that is not a number from 1 in brackets");
	return DICOM_OK;
}

enum dicom_status
dicom_path_parse(const char *text, size_t length, struct dicom_path *path, struct dicom_error *error)
{
	struct cursor cursor = {text, text + length};
	bool more = true;

	memset(path, 0, sizeof(*path));
	while (more)
	{
		struct dicom_path_step *step = &path->steps[path->count];
		enum dicom_status status;

		if (path->count == DICOM_PATH_MAX_STEPS)
			return fail_syntax(error, "too many steps");
		skip_blanks(&cursor);
		status = parse_name(&cursor, step, error);
		if (status == DICOM_OK)
			status = parse_item(&cursor, step, error);
		if (status != DICOM_OK)
			return status;
		path->count++;
		skip_blanks(&cursor);
		more = take(&cursor, '.');
		if (more && step->item == 0)
			step->item = 1;
	}
	return cursor.at == cursor.end ? DICOM_OK : fail_syntax(error, "something unexpected");
}

/* ---- following ---- */

/* Item number n of a sequence, counted from 1. */
static const struct dicom_element *
find_item(const struct dicom_dataset *dataset, const struct dicom_element *sequence, uint32_t n)
{
	uint32_t i = (uint32_t) (sequence - dataset->elements) + 1;

	for (; i < sequence->next && i < dataset->count; i = dataset->elements[i].next)
		if (dataset->elements[i].tag == DICOM_TAG_ITEM && --n == 0)
			return &dataset->elements[i];
	return NULL;
}

const struct dicom_element *
dicom_path_find(const struct dicom_dataset *dataset, const struct dicom_path *path)
{
	const struct dicom_element *element = NULL;
	int i;

	for (i = 0; i < path->count; i++)
	{
		const struct dicom_path_step *step = &path->steps[i];

		element = dicom_dataset_find_in(dataset, element, step->tag, step->creator[0] ? step->creator : NULL);
		if (element && step->item > 0)
			element = find_item(dataset, element, step->item);
		if (!element)
			return NULL;
	}
	return element;
}

/* ---- writing ---- */

/* Copies the creator's name where a path can hold it, and leads back to this element. */
static bool
get_creator(const struct dicom_dataset *dataset, const struct dicom_element *element, char *name)
{
	const struct dicom_element *item =
		element->parent == UINT32_MAX ? NULL : &dataset->elements[element->parent];
	uint32_t length, i;
	const char *creator = dicom_dataset_private_creator(dataset, element, &length);

	if (!creator || length > 64)
		return false;
	for (i = 0; i < length; i++)
		if (creator[i] < ' ' || creator[i] > '~')
			return false;
	memcpy(name, creator, length);
	name[length] = '\0';
	return dicom_dataset_find_in(dataset, item, element->tag & 0xFFFF00FF, name) == element;
}

static void
write_name(const struct dicom_dataset *dataset, const struct dicom_element *element, struct dicom_buffer *out)
{
	const struct dicom_dictionary_entry *entry = dicom_dictionary_by_tag(element->tag);
	char creator[65];
	const char *c;

	/* The keyword of a repeating group names its lowest tag only. */
	if (entry && dicom_dictionary_by_keyword(entry->keyword, strlen(entry->keyword))->tag == element->tag)
		dicom_buffer_append_string(out, entry->keyword);
	else if (get_creator(dataset, element, creator))
	{
		dicom_buffer_printf(out, "(%04X,\"", element->tag >> 16);
		for (c = creator; *c; c++)
			dicom_buffer_append(out, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
		dicom_buffer_printf(out, "\",%02X)", element->tag & 0xFF);
	}
	else
		dicom_buffer_printf(out, "%08X", element->tag);
}

void
dicom_path_write(const struct dicom_dataset *dataset, const struct dicom_element *element,
				 struct dicom_buffer *out)
{
	uint32_t chain[2 * DICOM_MAX_DEPTH + 2];
	uint32_t place = (uint32_t) (element - dataset->elements);
	int count = 0;

	while (place != UINT32_MAX && count < (int) (sizeof(chain) / sizeof(chain[0])))
	{
		chain[count++] = place;
		place = dataset->elements[place].parent;
	}
	while (count-- > 0)
	{
		const struct dicom_element *step = &dataset->elements[chain[count]];

		if (step->tag == DICOM_TAG_ITEM && step->parent != UINT32_MAX)
			dicom_buffer_printf(out, "[%u]", step->number);
		else
		{
			if (step->parent != UINT32_MAX)
				dicom_buffer_append_char(out, '.');
			write_name(dataset, step, out);
		}
	}
}
