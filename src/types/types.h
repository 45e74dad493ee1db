/*
 * types.h - the SQL types of smsflow as seen from C.
 *
 * phone is an int64 passed by value: the digits of the E.164 number.  consent and opt_out are varlena values; the
 * functions below unpack them into the structures of core, allocated in the current memory context, and pack them
 * again.  Instants of core are TimestampTz values, see core/instant.h.
 */
#ifndef SMSFLOW_TYPES_H
#define SMSFLOW_TYPES_H

#include "../compat.h"

#include "../core/consent.h"
#include "../core/gsm.h"
#include "../core/opt_out.h"
#include "../core/purpose.h"
#include "../core/template.h"
#include "fmgr.h"
#include "nodes/nodes.h"
#include "pgtime.h"
#include "utils/jsonb.h"

/* ---- phone ---- */

#define DatumGetPhone(datum) DatumGetInt64(datum)
#define PhoneGetDatum(phone) Int64GetDatum(phone)
#define PG_GETARG_PHONE(n) DatumGetPhone(PG_GETARG_DATUM(n))
#define PG_RETURN_PHONE(phone) return PhoneGetDatum(phone)

/*
 * smsflow_phone_from_text reads a number as people of a region write it; a number that begins with + needs none.
 * region is an ISO 3166 code; NULL takes smsflow.default_region.  Raises SF001.
 */
extern int64 smsflow_phone_from_text(const char *text, size_t len, const char *region);

/*
 * smsflow_require_assignable raises SF001 for a number that no phone can have, read from text. What is stored may be
 * looked up and opt out whatever it is; contacts are made of numbers that can be.
 */
extern void smsflow_require_assignable(int64 phone, const char *text);

/* ---- consent and opt_out ---- */

extern SmsflowConsent *smsflow_consent_unpack(Datum datum);
extern Datum smsflow_consent_pack(const SmsflowConsent *consent);
extern SmsflowOptOut *smsflow_opt_out_unpack(Datum datum);
extern Datum smsflow_opt_out_pack(const SmsflowOptOut *opt_out);

#define DatumGetConsentP(datum) smsflow_consent_unpack(datum)
#define ConsentPGetDatum(consent) smsflow_consent_pack(consent)
#define PG_GETARG_CONSENT_P(n) DatumGetConsentP(PG_GETARG_DATUM(n))
#define PG_RETURN_CONSENT_P(consent) return ConsentPGetDatum(consent)

#define DatumGetOptOutP(datum) smsflow_opt_out_unpack(datum)
#define OptOutPGetDatum(opt_out) smsflow_opt_out_pack(opt_out)
#define PG_GETARG_OPT_OUT_P(n) DatumGetOptOutP(PG_GETARG_DATUM(n))
#define PG_RETURN_OPT_OUT_P(opt_out) return OptOutPGetDatum(opt_out)

/* ---- values of the enums smsflow.purpose and smsflow.consent_level ---- */

extern SmsflowPurpose smsflow_purpose_from_oid(Oid value);
extern SmsflowLevel smsflow_level_from_oid(Oid value);

/* smsflow_enum_oid returns the value of an enum type that has the given label. */
extern Oid smsflow_enum_oid(Oid enum_type, const char *label);

/* ---- templates ---- */

/*
 * smsflow_render_template replaces the variables of a template (core/template.h) by the values at their paths in vars
 * and returns a palloc'ed string.  Raises SF003 for a malformed template and for a variable without value and default.
 */
extern char *smsflow_render_template(const char *body, Jsonb *vars);

/* smsflow_try_render is the same, but for a variable without value it returns NULL and its name in *missing. */
extern char *smsflow_try_render(const char *body, Jsonb *vars, char **missing);

/* Where the values of a template come from. */
typedef struct SmsflowVariables
{
	SmsflowTemplateLookup find;
	void *ctx;
} SmsflowVariables;

/* The values in a jsonb; the text of the string, number or boolean at a path. */
extern SmsflowVariables smsflow_jsonb_variables(Jsonb *vars);

/* smsflow_render_links is smsflow_try_render with values from anywhere, and short links made by the function link. */
extern char *smsflow_render_links(const char *body, const SmsflowVariables *vars, SmsflowTemplateLink link, void *link_ctx,
								  char **missing);

/* A time zone by its IANA name, NULL when there is none. Offsets such as UTC-8 are no names: see there. */
extern pg_tz *smsflow_time_zone(const char *name);

/* smsflow_latin1_text returns octets of ISO 8859-1 in UTF-8, zero-terminated. */
extern char *smsflow_latin1_text(const char *octets, size_t len);

/* smsflow_smart_text is smsflow_smart_encode() on a text; returns a palloc'ed string, or the text itself. */
extern char *smsflow_smart_text(const char *body);

/* smsflow_require_template raises SF003 for a malformed template. */
extern void smsflow_require_template(const char *body);

/* smsflow_count_parts counts a text.  Raises SF007 when it is not valid. */
extern void smsflow_count_parts(const char *body, SmsflowParts *parts);

/* smsflow_jsonb_text finds the text of the string, number or boolean at a dotted path; false when there is none. */
extern bool smsflow_jsonb_text(Jsonb *json, const char *path, const char **text, size_t *len);

/*
 * smsflow_jsonb_field finds the first text that is not empty at any of several dotted paths, separated by spaces. What
 * stands behind an equals sign is a text itself.
 */
extern bool smsflow_jsonb_field(Jsonb *json, const char *paths, const char **text, size_t *len);

/* smsflow_jsonb_at returns the object or array at a dotted path, the whole for an empty one, or NULL. */
extern Jsonb *smsflow_jsonb_at(Jsonb *json, const char *path);

#endif /* SMSFLOW_TYPES_H */
