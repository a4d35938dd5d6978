// SPDX-License-Identifier: Apache-2.0
// Following a file: changes are taken over, bad files are not, a damaged shadow is made anew. Waits are for conditions, with a long limit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "follow.h"

struct place {
	char dir[40], shadow[64], credentials[64], ldif[64];
	struct follow *follow;
	struct directory *directory;
	struct arena *arena;
	struct buf log;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void start(struct place *place)
{
	struct err err;
	struct follow_config config = {.images = {.shadow_path = place->shadow, .credentials_path = place->credentials},
		.set = {.ldif_path = str_of_c(place->ldif), .check_ms = 20, .brake = {.percent = 20, .at_least = 10}}};
	if (follow_start(&config, &place->follow, &err))
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	snprintf(place->dir, sizeof place->dir, "/tmp/posthouse-follow-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	snprintf(place->shadow, sizeof place->shadow, "%s/shadow.db", place->dir);
	snprintf(place->credentials, sizeof place->credentials, "%s/credentials.db", place->dir);
	snprintf(place->ldif, sizeof place->ldif, "%s/people.ldif", place->dir);
	place->directory = directory_open(place->shadow, 30);
	place->arena = arena_new(1 << 20);
	buf_init(&place->log, 1 << 20);
	log_capture_begin(&place->log);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	follow_stop(&place->follow);
	log_capture_end();
	directory_close(&place->directory);
	arena_free(&place->arena);
	buf_fini(&place->log);
	nftw(place->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

static void write_many(struct place *place, int n)
{
	char temporary[80];
	snprintf(temporary, sizeof temporary, "%s.new", place->ldif);
	FILE *file = fopen(temporary, "w");
	assert_non_null(file);
	for (int i = 0; i < n; i++)
		fprintf(file, "dn: uid=u%d\nobjectClass: phMailUser\nmail: u%d@uni.example\nmailHost: mb1\nphMailboxId: %032x\n\n", i, i, i + 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(temporary, place->ldif), 0);
}

static void write_file(struct place *place, const char *user)
{
	char temporary[80];
	snprintf(temporary, sizeof temporary, "%s.new", place->ldif);
	FILE *file = fopen(temporary, "w");
	assert_non_null(file);
	if (user)
		fprintf(file, "dn: uid=%s\nobjectClass: phMailUser\nmail: %s@uni.example\nmailHost: mb1\nphMailboxId: %032x\n", user, user, 7);
	else
		fputs("no ldif\n", file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(temporary, place->ldif), 0);
}

static enum directory_answer find(struct place *place, const char *address)
{
	struct directory_match match;
	arena_reset(place->arena);
	return directory_find(place->directory, DIRECTORY_ADDRESS, str_of_c(address), place->arena, &match);
}

static void wait_for_address(struct place *place, const char *address)
{
	for (int i = 0; i < 6000 && find(place, address) != DIRECTORY_FOUND; i++)
		usleep(10000);
	assert_int_equal(find(place, address), DIRECTORY_FOUND);
}

static void wait_for_state(struct place *place, enum follow_state state)
{
	struct follow_status status;
	for (int i = 0; i < 6000; i++) {
		follow_status(place->follow, &status);
		if (status.state == state)
			return;
		usleep(10000);
	}
	fail_msg("state %s, not %s: %s", follow_state_name(status.state), follow_state_name(state), status.trouble);
}

static void test_changes_are_taken_over(void **state)
{
	struct place *place = *state;
	struct follow_status status;
	start(place); // the file comes later
	wait_for_state(place, FOLLOW_EMPTY);
	write_file(place, "anna");
	wait_for_address(place, "anna@uni.example");
	write_file(place, "bob");
	wait_for_address(place, "bob@uni.example");
	assert_int_equal(find(place, "anna@uni.example"), DIRECTORY_NONE);
	write_file(place, NULL);
	wait_for_state(place, FOLLOW_STALE);
	follow_status(place->follow, &status);
	assert_true(strstr(status.trouble, "people.ldif:1:") != NULL);
	assert_int_equal(find(place, "bob@uni.example"), DIRECTORY_FOUND);
	assert_false(directory_status(place->directory).fresh);
	write_file(place, "bob");
	wait_for_state(place, FOLLOW_PERSIST);
	assert_true(directory_status(place->directory).fresh);
	unlink(place->ldif);
	wait_for_state(place, FOLLOW_STALE);
	assert_int_equal(find(place, "bob@uni.example"), DIRECTORY_FOUND);
}

static void test_another_file_is_set(void **state)
{
	struct place *place = *state;
	char other[80];
	write_file(place, "anna");
	snprintf(other, sizeof other, "%s/other.ldif", place->dir);
	assert_int_equal(rename(place->ldif, other), 0);
	write_file(place, "bob");
	start(place);
	wait_for_address(place, "bob@uni.example");
	follow_set(place->follow, &(struct follow_set){.ldif_path = str_of_c(other), .check_ms = 20, .brake = {.percent = 100}});
	wait_for_address(place, "anna@uni.example");
}

static void test_damaged_shadow_is_made_anew(void **state)
{
	struct place *place = *state;
	write_file(place, "anna");
	start(place);
	wait_for_address(place, "anna@uni.example");
	follow_stop(&place->follow);
	FILE *file = fopen(place->shadow, "r+");
	assert_non_null(file);
	assert_true(fputs("this is no database any more, and has not been one for long", file) >= 0);
	fclose(file);
	start(place);
	wait_for_address(place, "anna@uni.example"); // by the old one, as far as it can be read
	wait_for_state(place, FOLLOW_PERSIST);
	wait_for_address(place, "anna@uni.example");
	char aside[96];
	snprintf(aside, sizeof aside, "%s.damaged", place->shadow);
	assert_int_equal(access(aside, F_OK), 0);
}

// A file without half of the people: the old view stays until somebody accepts that very file, or a better one comes.
static void test_the_brake(void **state)
{
	struct place *place = *state;
	struct follow_status status;
	struct err err;
	write_many(place, 100);
	start(place);
	wait_for_address(place, "u99@uni.example");
	assert_int_equal(follow_release(place->follow, &err), ERR_NOTFOUND);
	write_many(place, 50);
	wait_for_state(place, FOLLOW_BRAKED);
	follow_status(place->follow, &status);
	assert_string_equal(status.held.what, "recipients");
	assert_int_equal(status.held.n, 50);
	assert_int_equal(status.held.of, 100);
	assert_int_equal(find(place, "u99@uni.example"), DIRECTORY_FOUND);
	assert_true(directory_status(place->directory).complete && !directory_status(place->directory).fresh);
	follow_stop(&place->follow); // a restart does not forget
	start(place);
	wait_for_state(place, FOLLOW_BRAKED);
	assert_int_equal(find(place, "u99@uni.example"), DIRECTORY_FOUND);
	write_many(place, 90); // ten of a hundred are no accident
	wait_for_state(place, FOLLOW_PERSIST);
	assert_int_equal(find(place, "u99@uni.example"), DIRECTORY_NONE);
	assert_true(directory_status(place->directory).fresh);
	write_many(place, 1);
	wait_for_state(place, FOLLOW_BRAKED);
	assert_int_equal(follow_release(place->follow, &err), ERR_OK);
	wait_for_state(place, FOLLOW_PERSIST);
	assert_int_equal(find(place, "u0@uni.example"), DIRECTORY_FOUND);
	assert_int_equal(find(place, "u1@uni.example"), DIRECTORY_NONE);
	follow_status(place->follow, &status);
	assert_int_equal(status.held.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_changes_are_taken_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_file_is_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_brake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_shadow_is_made_anew, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
