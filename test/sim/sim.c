/*
 * sim.c - runs schedules: each seed is one, and the same one every time.
 *
 *	sim [--seconds N]			schedules from seed 1 on for so long, 10 by default
 *	sim --schedules N			so many
 *	sim --seed N [--trace]		one, with everything that happens
 *
 * Ends with 1 at the first violation, and prints its seed.
 */
#define _POSIX_C_SOURCE 200809L

#include "sim.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#define STEPS 80
#define SETTLING_STEPS 2000
#define LIMITER_EVERY 256

/* splitmix64 */
uint32_t
random_below(World *world, uint32_t bound)
{
	uint64_t z = world->random += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return (uint32_t) ((z ^ z >> 31) >> 32) % bound;
}

int64_t
wall(const World *world)
{
	return world->mono + world->clock_offset;
}

void
trace(const World *world, const char *format, ...)
{
	va_list args;

	printf("%12.6f  ", (double) world->mono / 1e6);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

void
violated(const World *world, int message, const char *what)
{
	if (message >= 0)
		printf("seed %llu, message %d: %s\n", (unsigned long long) world->seed, message, what);
	else
		printf("seed %llu: %s\n", (unsigned long long) world->seed, what);
	printf("build/sim/sim --seed %llu --trace shows it\n", (unsigned long long) world->seed);
	exit(1);
}

/* ---- one schedule ---- */

static void
begin(World *world, uint64_t seed, bool tracing)
{
	memset(world, 0, sizeof(*world));
	world->seed = world->random = seed;
	world->trace = tracing;
	world->mono = DAY;
	world->clock_offset = 365 * DAY + random_below(world, 24 * 60) * MINUTE;
	world->removes_repeats = random_below(world, 2) == 0;
	world->rate = 0.5 + random_below(world, 40);
	world->burst = 1 + (int) random_below(world, 5);
	world->opens = (int) random_below(world, 12 * 60);
	world->closes = world->opens + 60 + (int) random_below(world, 11 * 60);
	for (int weekday = 0; weekday < 7; weekday++)
		for (int minute = world->opens; minute < world->closes; minute++)
			world->window.open[weekday][minute / 64] |= UINT64_C(1) << (minute % 64);
	worker_start(world, false);
}

static void
pass_time(World *world)
{
	static const int64_t steps[] = {1000, 100000, SECOND, 3 * SECOND, 30 * SECOND, 125 * SECOND, 10 * MINUTE};

	world->mono += steps[random_below(world, sizeof(steps) / sizeof(steps[0]))];
	check_statuses(world);
}

/* Somebody sets the wall clock, by minutes or by a day. What was scheduled by the old time is then early or late. */
static void
jump_clock(World *world)
{
	int64_t jump = random_below(world, 2) ? DAY : (int64_t) random_below(world, 3600) * SECOND;

	world->clock_offset += random_below(world, 2) ? jump : -jump;
	for (int id = 0; id < world->message_count; id++)
	{
		world->jobs[id].clock_set = true;
		world->messages[id].status = fold(world, &world->messages[id]);
	}
	TRACE(world, "the clock is set");
}

static void
advance_job(World *world, int id)
{
	switch (world->jobs[id].state)
	{
		case JOB_WAITING:
			worker_dispatch(world, id);
			break;
		case JOB_CONNECTING:
			if (!world->quiet && random_below(world, 8) == 0)
				worker_no_connection(world, id);
			else if (world->request_count < MAX_REQUESTS)
				worker_first_byte(world, id);
			break;
		default:
			break;
	}
}

static void
advance_request(World *world, Request *request)
{
	if (request->state == REQUEST_GONE)
		return;
	if (request->state == REQUEST_FLYING && (world->quiet || random_below(world, 4) > 0))
		gateway_receive(world, request);
	else
		network_answer(world, request);
}

static void
step(World *world)
{
	uint32_t chance = random_below(world, 100);

	if (chance < 12)
		store_ask(world);
	else if (chance < 16)
		store_revoke(world);
	else if (chance < 22)
		(void) revocation_advance(world);
	else if (chance < 40)
		worker_turn(world);
	else if (chance < 60 && world->message_count > 0)
		advance_job(world, (int) random_below(world, (uint32_t) world->message_count));
	else if (chance < 80 && world->request_count > 0)
		advance_request(world, &world->requests[random_below(world, (uint32_t) world->request_count)]);
	else if (chance < 84 && world->message_count > 0)
		gateway_report(world, (int) random_below(world, (uint32_t) world->message_count));
	else if (chance < 96)
		pass_time(world);
	else if (chance < 99)
		crash(world, random_below(world, 3) == 0);
	else
		jump_clock(world);
	check_statuses(world);
}

static bool
is_settled(const World *world)
{
	for (int id = 0; id < world->message_count; id++)
		if (world->messages[id].status <= STATUS_SENDING || world->jobs[id].state != JOB_FREE ||
			waits_for_timer(&world->messages[id]))
			return false;
	return true;
}

/* Lets limits and pauses pass while the worker has something in hand; else to the next timer, however far it is. */
static void
skip_time(World *world)
{
	int64_t next = FOREVER;

	for (int id = 0; id < world->message_count; id++)
	{
		int64_t due = world->messages[id].due_at - world->clock_offset;

		if (world->jobs[id].state != JOB_FREE)
			next = world->mono + 10 * SECOND;
		else if (waits_for_timer(&world->messages[id]) && due < next)
			next = due;
	}
	if (next != FOREVER && next > world->mono)
		world->mono = next;
}

/* Nothing goes wrong any more: what is left is settled within bounded work. */
static void
settle(World *world)
{
	world->quiet = true;
	while (revocation_advance(world))
		;
	for (int i = 0; i < SETTLING_STEPS && !is_settled(world); i++)
	{
		worker_turn(world);
		for (int id = 0; id < world->message_count; id++)
		{
			advance_job(world, id);
			advance_job(world, id);
		}
		for (int r = 0; r < world->request_count; r++)
		{
			advance_request(world, &world->requests[r]);
			advance_request(world, &world->requests[r]);
		}
		worker_turn(world);
		check_statuses(world);
		skip_time(world);
		check_statuses(world);
	}
	check_end(world);
}

static void
run(uint64_t seed, bool tracing)
{
	World world;

	begin(&world, seed, tracing);
	if (seed % LIMITER_EVERY == 0)
	{
		check_limiter(&world);
		return;
	}
	for (int i = 0; i < STEPS; i++)
		step(&world);
	settle(&world);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

static const char *
option(int argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return argv[i + 1];
	return NULL;
}

int
main(int argc, char **argv)
{
	const char *one = option(argc, argv, "--seed");
	const char *limit = option(argc, argv, "--schedules");
	const char *duration = option(argc, argv, "--seconds");
	uint64_t most = limit != NULL ? strtoull(limit, NULL, 10) : UINT64_MAX;
	double end = seconds() + (duration != NULL ? strtod(duration, NULL) : 10);
	uint64_t seed = 0;

	if (one != NULL)
	{
		run(strtoull(one, NULL, 10), strcmp(argv[argc - 1], "--trace") == 0);
		printf("seed %s: nothing is violated\n", one);
		return 0;
	}
	while (seed < most && (limit != NULL || seed % 1024 > 0 || seconds() < end))
		run(++seed, false);
	printf("%llu schedules, nothing violated\n", (unsigned long long) seed);
	return 0;
}
