/*
 * purpose.h - why a message is sent.
 *
 * A purpose decides which consent, which quiet hours and which caps apply to a message.  "cart" stands apart from
 * "promotional" because carriers ask for a consent that names cart reminders (CTIA Messaging Principles, 5.1).  The
 * names are those of the SQL enum smsflow.purpose; the order of both is the order in which messages leave: a campaign
 * never delays a one-time password.
 *
 * Pure C11, header only.
 */
#ifndef SMSFLOW_PURPOSE_H
#define SMSFLOW_PURPOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef enum SmsflowPurpose
{
	SMSFLOW_PURPOSE_COMPLIANCE,
	SMSFLOW_PURPOSE_OTP,
	SMSFLOW_PURPOSE_TRANSACTIONAL,
	SMSFLOW_PURPOSE_CONVERSATIONAL,
	SMSFLOW_PURPOSE_CART,
	SMSFLOW_PURPOSE_PROMOTIONAL
} SmsflowPurpose;

#define SMSFLOW_PURPOSES 6

/* smsflow_purpose_name returns the SQL name of a purpose, a static string. */
static inline const char *
smsflow_purpose_name(SmsflowPurpose purpose)
{
	static const char *const names[SMSFLOW_PURPOSES] = {"compliance",     "otp",  "transactional",
														"conversational", "cart", "promotional"};

	return names[purpose];
}

/* smsflow_purpose_from_name sets *purpose and returns true if the len bytes at name are exactly a purpose's name. */
static inline bool
smsflow_purpose_from_name(const char *name, size_t len, SmsflowPurpose *purpose)
{
	for (int i = 0; i < SMSFLOW_PURPOSES; i++)
	{
		const char *candidate = smsflow_purpose_name((SmsflowPurpose) i);

		if (strlen(candidate) == len && memcmp(candidate, name, len) == 0)
		{
			*purpose = (SmsflowPurpose) i;
			return true;
		}
	}
	return false;
}

/* smsflow_purpose_is_marketing tells what is never sent twice and needs an express consent of its own. */
static inline bool
smsflow_purpose_is_marketing(SmsflowPurpose purpose)
{
	return purpose == SMSFLOW_PURPOSE_CART || purpose == SMSFLOW_PURPOSE_PROMOTIONAL;
}

#endif /* SMSFLOW_PURPOSE_H */
