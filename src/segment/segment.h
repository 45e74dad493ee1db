/*
 * segment.h - members of a segment, for the rooms that write to them.
 */
#ifndef SMSFLOW_SEGMENT_H
#define SMSFLOW_SEGMENT_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"

/*
 * smsflow_as_role makes the following statements run with a role's privileges in a security-restricted context, with a
 * pinned search_path; smsflow_as_before ends that. After an error in between, the abort of the (sub)transaction does.
 */
typedef struct SmsflowIdentity
{
	Oid user;
	int security;
	int settings;
} SmsflowIdentity;

extern void smsflow_as_role(Oid role, SmsflowIdentity *before);
extern void smsflow_as_before(const SmsflowIdentity *before);

/*
 * smsflow_as_extension makes the following statements run as the owner of the called function, and so of smsflow's tables;
 * SetUserIdAndSecContext() with what it saved ends that.
 */
extern void smsflow_as_extension(FunctionCallInfo fcinfo, SmsflowIdentity *before);

/* smsflow_predicate_query puts a predicate into a query over the profile; a condition that comes before it ends with AND. */
extern char *smsflow_predicate_query(const char *select, const char *condition, const char *predicate);

/* smsflow_contact_window sets *last to the contact so many contacts after one, or to the last; false when none follows. */
extern bool smsflow_contact_window(int64 after, int contacts, int64 *last);

/* smsflow_require_expression raises SF007 unless a text parses as exactly one SQL expression. */
extern void smsflow_require_expression(const char *predicate);

typedef struct SmsflowSegment
{
	int32 segment_id;
	int32 brand_id;
	char *brand;
	char *name;
	char *predicate;
	Oid owner;
} SmsflowSegment;

/* smsflow_segment_by_id reads a segment; the memory is the caller's current context. Needs an open SPI connection. */
extern SmsflowSegment *smsflow_segment_by_id(int32 segment_id);

/* smsflow_segment_of_brand is the same by name; raises SF004 when the brand has none of this name. */
extern SmsflowSegment *smsflow_segment_of_brand(const char *name, int32 brand_id);

/*
 * smsflow_segment_slice looks at the next contacts after *cursor, at most `contacts` of them in order of contact_id, and
 * returns those in the segment as an array of bigint; *cursor moves to the last contact it looked at. It bounds the
 * contacts looked at rather than the members found, so that a rare predicate costs no more per call than a common one.
 * Returns NULL when no contact was left. The predicate runs as the segment's owner, and its errors are raised. Needs an
 * open SPI connection.
 */
extern ArrayType *smsflow_segment_slice(const SmsflowSegment *segment, int contacts, int64 *cursor);

/*
 * smsflow_segment_among returns which of some contacts (bigint[]) are in the segments of this name, each contact in that of
 * its brand; in a brand that has none nobody is. Predicates run as their owners, and their errors are raised. Needs an open
 * SPI connection.
 */
extern ArrayType *smsflow_segment_among(const char *name, ArrayType *contacts);

/* smsflow_members_among returns the same of one segment. */
extern ArrayType *smsflow_members_among(const SmsflowSegment *segment, ArrayType *contacts);

#endif /* SMSFLOW_SEGMENT_H */
