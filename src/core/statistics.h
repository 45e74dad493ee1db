/*
 * statistics.h - whether rates differ, and which variant is the best one.
 * Pure C11.
 */
#ifndef SMSFLOW_STATISTICS_H
#define SMSFLOW_STATISTICS_H

/* x successes in n trials, 0 <= x <= n */
typedef struct SmsflowRate
{
	double successes;
	double trials;
} SmsflowRate;

/* At most so many variants are compared. */
#define SMSFLOW_RATES_MAX 64

/*
 * Two-sided p-value of the pooled two-proportion z-test: how probable a
 * difference at least as large is if both rates are the same. 1 when a rate
 * has no trials, or nothing or everything succeeded.
 */
extern double smsflow_two_proportions(SmsflowRate a, SmsflowRate b);

/*
 * For each of count rates (1 to SMSFLOW_RATES_MAX) the probability that it is
 * the highest, given what was seen and nothing known before: the posterior of
 * each is Beta(1 + successes, 1 + failures), and what is integrated over p is
 * the density of one times the distribution functions of the others.
 */
extern void smsflow_probability_best(const SmsflowRate *rates, int count, double *best);

#endif
