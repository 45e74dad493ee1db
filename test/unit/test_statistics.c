/*
 * test_statistics.c - tests of rates against values worked out otherwise: the
 * z-test against tables of the normal distribution, the probability to be the
 * best against the closed form for two variants.
 */
#include <math.h>

#include "statistics.h"
#include "unit.h"

static double
log_beta(double a, double b)
{
	return lgamma(a) + lgamma(b) - lgamma(a + b);
}

/* E. Miller, "Formulas for Bayesian A/B Testing": the chance that b's rate exceeds a's, uniform priors. */
static double
second_is_better(SmsflowRate a, SmsflowRate b)
{
	double alpha_a = 1 + a.successes;
	double beta_a = 1 + a.trials - a.successes;
	double alpha_b = 1 + b.successes;
	double beta_b = 1 + b.trials - b.successes;
	double sum = 0;

	for (int i = 0; i < alpha_b; i++)
		sum +=
			exp(log_beta(alpha_a + i, beta_a + beta_b) - log(beta_b + i) - log_beta(1 + i, beta_b) - log_beta(alpha_a, beta_a));
	return sum;
}

static void
check_two(double x1, double n1, double x2, double n2)
{
	SmsflowRate rates[] = {{x1, n1}, {x2, n2}};
	double best[2];

	smsflow_probability_best(rates, 2, best);
	CHECK(fabs(best[1] - second_is_better(rates[0], rates[1])) < 1e-4);
	CHECK(fabs(best[0] + best[1] - 1) < 1e-9);
}

static void
check_many(void)
{
	SmsflowRate same[] = {{30, 1000}, {30, 1000}, {30, 1000}, {30, 1000}};
	SmsflowRate clear[] = {{100, 10000}, {300, 10000}, {110, 10000}};
	double best[4];

	smsflow_probability_best(same, 4, best);
	for (int i = 0; i < 4; i++)
		CHECK(fabs(best[i] - 0.25) < 1e-6);
	smsflow_probability_best(clear, 3, best);
	CHECK(best[1] > 0.999999);
	smsflow_probability_best(clear, 1, best);
	CHECK(best[0] == 1);
}

static void
check_z(void)
{
	/* 40 and 60 of 100: pooled 0.5, z = 0.2 / sqrt(0.25 * 0.02) = 2.8284, p = 0.004678 */
	CHECK(fabs(smsflow_two_proportions((SmsflowRate){40, 100}, (SmsflowRate){60, 100}) - 0.004678) < 1e-6);
	CHECK(fabs(smsflow_two_proportions((SmsflowRate){60, 100}, (SmsflowRate){40, 100}) - 0.004678) < 1e-6);
	CHECK(smsflow_two_proportions((SmsflowRate){5, 10}, (SmsflowRate){50, 100}) == 1);
	CHECK(smsflow_two_proportions((SmsflowRate){0, 10}, (SmsflowRate){0, 100}) == 1);
	CHECK(smsflow_two_proportions((SmsflowRate){10, 10}, (SmsflowRate){100, 100}) == 1);
	CHECK(smsflow_two_proportions((SmsflowRate){0, 0}, (SmsflowRate){1, 100}) == 1);
}

int
main(void)
{
	check_two(0, 0, 0, 0);
	check_two(20, 100, 30, 100);
	check_two(1, 1000, 5, 1000);
	check_two(0, 50, 1, 50);
	check_two(50, 50, 49, 50);
	check_two(480, 20000, 500, 20000);
	check_many();
	check_z();
	return unit_report();
}
