/*
 * selection.h
 *	  Which elements a scan's headers must yield: those that its columns ask for, and those of the entity's key.
 */
#ifndef FDW_SELECTION_H
#define FDW_SELECTION_H

#include "column.h"

/* The tags of an entity's key, and how many. */
extern const uint32_t *entity_key_tags(enum entity_kind entity, int *count);
extern bool entity_is_distinct(enum entity_kind entity);

/* True where no column needs more than a listing. */
extern bool selection_is_of_listing(enum entity_kind entity, const struct column *columns, int count);

/* The column of the catalog that holds what a column asks for, as it stands: an enum catalog_column or object_value; -1: none. */
extern int selection_catalog_column(const struct column *column);

/* True where the catalog's own columns hold all that is asked for; of entities with one row per object. */
extern bool selection_is_of_values(enum entity_kind entity, const struct column *columns, int count);

/* Fills *selection, its arrays in the current context. */
extern void selection_build(struct dicom_selection *selection, enum entity_kind entity,
							const struct column *columns, int count, uint64 header_limit);

#endif
