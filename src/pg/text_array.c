/*
 * text_array.c
 *	  The elements of a text[] that a function was given.
 */
#include "postgres.h"

#include "compat.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "text_array.h"

int
text_array_elements(ArrayType *array, const char *what, char ***elements)
{
	Datum *datums;
	bool *nulls;
	int count;
	int i;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &datums, &nulls, &count);
	*elements = palloc((count + 1) * sizeof(**elements));
	for (i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", what)));
		(*elements)[i] = TextDatumGetCString(datums[i]);
	}
	return count;
}
