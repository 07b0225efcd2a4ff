/*
 * dates.h
 *	  Moves dates that stand in a text, without changing their form.
 *
 * Forms: DICOM's DA and DT (PS3.5 §6.2: YYYY[MM[DD[HH[MM[SS[.F]]]]]] and a zone), the old YYYY.MM.DD, and YYYY-MM-DD, alone or with a
 * time as PostgreSQL and ISO 8601 write it. What is none of these in whole gives false, and nothing is appended. Years are
 * 1 to 9999.
 */
#ifndef DEID_DATES_H
#define DEID_DATES_H

#include "../dicom/buffer.h"
#include "derive.h"

/* Appends the date so many days later; time, fraction and zone stay. A month or year alone moves as its first day does. */
extern bool deid_shift_date(struct deid_text value, int days, struct dicom_buffer *out);

/* Appends the first day of the date's year or month, without time; of a month or year alone no more than was given. */
extern bool deid_truncate_date(struct deid_text value, bool by_year, struct dicom_buffer *out);

#endif
