// SPDX-License-Identifier: Apache-2.0
// START counts: what is under way is on disk; suspects are tried alone; slots come back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "keeper.h"

struct bench {
	char dir[64];
	int fd;
	struct keeper *keeper;
	struct guid suspect;
	unsigned deaths;
	size_t suspects;
};

static void suspect(void *arg, const struct guid *guid, unsigned deaths)
{
	struct bench *b = arg;
	b->suspect = *guid;
	b->deaths = deaths;
	b->suspects++;
}

static void died(const struct err *err)
{
	fail_msg("%s", err->text);
}

static void reopen(struct bench *b)
{
	struct err err;
	b->suspects = 0;
	if (keeper_open(b->fd, b->fd, suspect, b, died, &b->keeper, &err))
		fail_msg("%s", err.text);
}

static void begin(struct bench *b)
{
	*b = (struct bench){.dir = "/tmp/posthouse-keeper-XXXXXX"};
	assert_non_null(mkdtemp(b->dir));
	assert_int_equal(file_dir_open(str_of_c(b->dir), &b->fd, NULL), ERR_OK);
	reopen(b);
}

static void end(struct bench *b)
{
	keeper_close(&b->keeper);
	unlinkat(b->fd, "starts", 0);
	file_close(b->fd);
	assert_int_equal(rmdir(b->dir), 0);
}

static void what_survived_is_forgotten_and_what_did_not_is_counted(void **state)
{
	(void)state;
	struct bench b;
	struct guid guids[2] = {guid_new(), guid_new()};
	begin(&b);
	assert_int_equal(keeper_start(b.keeper, guids, 2, NULL), ERR_OK);
	keeper_end(b.keeper, &guids[0]);
	for (unsigned deaths = 1; deaths <= 4; deaths++) {
		keeper_close(&b.keeper); // the second one never ended, which is what a death looks like
		reopen(&b);
		assert_int_equal(b.suspects, 1);
		assert_true(guid_eq(&b.suspect, &guids[1]));
		assert_int_equal(b.deaths, deaths < KEEPER_DEATHS_MAX ? deaths : KEEPER_DEATHS_MAX - 1); // in company at most a suspect
		assert_int_equal(keeper_is_suspect(b.keeper, &guids[1]), deaths >= 2);
		assert_int_equal(keeper_start(b.keeper, &guids[1], 1, NULL), ERR_OK);
	}
	keeper_end(b.keeper, &guids[1]);
	assert_int_equal(keeper_start_alone(b.keeper, &guids[1], NULL), ERR_OK);
	keeper_end(b.keeper, &guids[1]);
	keeper_close(&b.keeper);
	reopen(&b);
	assert_int_equal(b.suspects, 0);
	end(&b);
}

static void all_slots_come_back(void **state)
{
	(void)state;
	struct bench b;
	struct guid *guids = calloc(KEEPER_SLOTS + 1, sizeof *guids);
	begin(&b);
	for (size_t i = 0; i <= KEEPER_SLOTS; i++)
		guids[i] = guid_new();
	for (int round = 0; round < 3; round++) {
		assert_int_equal(keeper_start(b.keeper, guids, KEEPER_SLOTS + 1, NULL), ERR_BUSY); // nothing is taken by halves
		assert_int_equal(keeper_start(b.keeper, guids, KEEPER_SLOTS, NULL), ERR_OK);
		assert_int_equal(keeper_start(b.keeper, &guids[KEEPER_SLOTS], 1, NULL), ERR_BUSY);
		assert_int_equal(keeper_start(b.keeper, guids, 1, NULL), ERR_OK); // the same message for another destination
		keeper_end(b.keeper, &guids[0]);
		for (size_t i = 0; i < KEEPER_SLOTS; i++)
			keeper_end(b.keeper, &guids[i]);
	}
	keeper_close(&b.keeper);
	reopen(&b);
	assert_int_equal(b.suspects, 0);
	end(&b);
	free(guids);
}

struct waiter {
	struct keeper *keeper;
	struct guid guid;
	_Atomic bool started;
};

static void *start_in_company(void *arg)
{
	struct waiter *w = arg;
	assert_int_equal(keeper_start(w->keeper, &w->guid, 1, NULL), ERR_OK);
	atomic_store(&w->started, true);
	return NULL;
}

static void others_wait_for_one_that_is_alone(void **state)
{
	(void)state;
	struct bench b;
	struct guid alone = guid_new();
	pthread_t thread;
	begin(&b);
	struct waiter w = {.keeper = b.keeper, .guid = guid_new()};
	assert_int_equal(keeper_start_alone(b.keeper, &alone, NULL), ERR_OK);
	assert_int_equal(pthread_create(&thread, NULL, start_in_company, &w), 0);
	usleep(50000);
	assert_false(atomic_load(&w.started));
	keeper_end(b.keeper, &alone);
	pthread_join(thread, NULL);
	assert_true(atomic_load(&w.started));
	keeper_end(b.keeper, &w.guid);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_survived_is_forgotten_and_what_did_not_is_counted),
		cmocka_unit_test(all_slots_come_back),
		cmocka_unit_test(others_wait_for_one_that_is_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
