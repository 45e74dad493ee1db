/*
 * statistics.c - see statistics.h.
 */
#include "statistics.h"

#include <math.h>

/* Steps of the integral; the error is far below what a decision needs. */
#define STEPS 4000

/* Beyond so many standard deviations a posterior has nothing left to add. */
#define WIDTH 9

double
smsflow_two_proportions(SmsflowRate a, SmsflowRate b)
{
	double trials = a.trials + b.trials;
	double pooled;
	double variance;

	if (a.trials <= 0 || b.trials <= 0)
		return 1;
	pooled = (a.successes + b.successes) / trials;
	variance = pooled * (1 - pooled) * (1 / a.trials + 1 / b.trials);
	if (variance <= 0)
		return 1;
	return erfc(fabs(a.successes / a.trials - b.successes / b.trials) / sqrt(2 * variance));
}

/* The posterior of a rate, cut into equal steps of p: its density in the middle of each, and its distribution function there. */
typedef struct Posterior
{
	double alpha;
	double beta;
	double below; /* up to the end of the step before */
	double share; /* of the step */
	double scale; /* makes the shares add up to 1 */
} Posterior;

static double
density(const Posterior *posterior, double p)
{
	double constant = lgamma(posterior->alpha + posterior->beta) - lgamma(posterior->alpha) - lgamma(posterior->beta);

	return exp(constant + (posterior->alpha - 1) * log(p) + (posterior->beta - 1) * log1p(-p));
}

static void
init_posterior(Posterior *posterior, SmsflowRate rate, double *from, double *to)
{
	double mean;
	double deviation;

	*posterior = (Posterior){.alpha = 1 + rate.successes, .beta = 1 + rate.trials - rate.successes};
	mean = posterior->alpha / (posterior->alpha + posterior->beta);
	deviation = sqrt(mean * (1 - mean) / (posterior->alpha + posterior->beta + 1));
	*from = fmin(*from, fmax(0, mean - WIDTH * deviation));
	*to = fmax(*to, fmin(1, mean + WIDTH * deviation));
}

static double
middle_of(int step, double from, double to)
{
	return from + (step + 0.5) * (to - from) / STEPS;
}

void
smsflow_probability_best(const SmsflowRate *rates, int count, double *best)
{
	Posterior posterior[SMSFLOW_RATES_MAX];
	double from = 1;
	double to = 0;
	double total = 0;

	for (int i = 0; i < count; i++)
	{
		init_posterior(&posterior[i], rates[i], &from, &to);
		best[i] = 0;
	}
	for (int i = 0; i < count; i++)
		for (int step = 0; step < STEPS; step++)
			posterior[i].scale += density(&posterior[i], middle_of(step, from, to));
	for (int step = 0; step < STEPS; step++)
	{
		for (int i = 0; i < count; i++)
			posterior[i].share = density(&posterior[i], middle_of(step, from, to)) / posterior[i].scale;
		for (int i = 0; i < count; i++)
		{
			double others = 1;

			for (int j = 0; j < count; j++)
				if (j != i)
					others *= posterior[j].below + posterior[j].share / 2;
			best[i] += posterior[i].share * others;
		}
		for (int i = 0; i < count; i++)
			posterior[i].below += posterior[i].share;
	}
	for (int i = 0; i < count; i++)
		total += best[i];
	for (int i = 0; i < count; i++)
		best[i] /= total;
}
