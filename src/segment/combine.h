/*
 * combine.h - segments that are made of other segments.
 */
#ifndef SMSFLOW_COMBINE_H
#define SMSFLOW_COMBINE_H

#include "postgres.h"

#include "nodes/pg_list.h"

/*
 * smsflow_combine_segments replaces segment('name') and in_segment(contact_id, 'name') in a predicate by what these
 * segments of the brand mean, and returns the new text. What belongs to the same owner or to a superuser stands there as a
 * condition on the same row; what belongs to another role as a set that is read with that role's rights. Names go to *used
 * (char *), if used is not NULL. Raises SF004 for an unknown segment, SF007 for a chain of more than 16 or too long a text.
 * Needs an open SPI connection; the current user must be who may read smsflow.segment.
 */
extern char *smsflow_combine_segments(const char *predicate, int32 brand_id, Oid owner, List **used);

#endif /* SMSFLOW_COMBINE_H */
