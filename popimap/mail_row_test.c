// SPDX-License-Identifier: Apache-2.0
// Rows under a key of bytes: order, ranges, what is cut short.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail_row.h"
#include "test_store.h"

struct seen {
	struct err *err;
	size_t n;
	uint64_t hashes[8];
};

static bool see(void *arg, struct str key, struct str value)
{
	struct seen *seen = arg;
	struct mail_reader reader = mail_read_key(key, MAIL_ROW_THREAD);
	assert_int_equal(value.n, 1);
	seen->hashes[seen->n++] = mail_read_u64(&reader);
	assert_false(reader.damaged);
	return seen->n < 3;
}

struct rows_job {
	struct job job;
	void (*run)(struct strand *strand);
};

static enum job_step rows_run(struct job *job, struct strand *strand)
{
	((struct rows_job *)job)->run(strand);
	return job_end(job, ERR_OK);
}

static void in_a_mailbox(void (*run)(struct strand *strand))
{
	struct err err;
	test_deliver(1, 1);
	const struct guid id = test_id(1);
	struct strand *strand = strand_get(test_store, &id);
	struct rows_job job = {.job = {.kind = JOB_WRITE, .run = rows_run, .err = &err}, .run = run};
	assert_int_equal(strand_run(strand, &job.job), ERR_OK);
	strand_drop(strand);
}

static void put_thread(struct strand *strand, uint64_t hash)
{
	struct err err;
	struct mail_key key = mail_key(MAIL_ROW_THREAD);
	mail_key_u64(&key, hash);
	assert_int_equal(mail_row_set(strand, &key, STR("x"), &err), ERR_OK);
}

static void numbers_in_order(struct strand *strand)
{
	static const uint64_t hashes[] = {UINT64_MAX, 256, 1, 255};
	struct err err;
	struct seen seen = {.err = &err};
	struct mail_key from = mail_key(MAIL_ROW_THREAD), end = mail_key_behind(MAIL_ROW_THREAD);
	uint64_t n = 0;
	for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
		put_thread(strand, hashes[i]);
	assert_int_equal(mail_rows_count(strand, MAIL_ROW_THREAD, &n, &err), ERR_OK);
	assert_int_equal(n, 4);
	mail_key_u64(&from, 2);
	assert_int_equal(mail_rows_each(strand, mail_key_str(&from), mail_key_str(&end), see, &seen, &err), ERR_OK);
	assert_int_equal(seen.n, 3);
	assert_true(seen.hashes[0] == 255 && seen.hashes[1] == 256 && seen.hashes[2] == UINT64_MAX);
}

static void rows_are_in_the_order_of_their_numbers(void **state)
{
	(void)state;
	in_a_mailbox(numbers_in_order);
}

// A key that another one begins with is not that one.
static void one_only(struct strand *strand)
{
	struct err err;
	struct buf value;
	bool found;
	struct mail_key name = mail_key(MAIL_ROW_NAME), longer = name, shorter = name;
	mail_key_add(&name, STR("Work"));
	mail_key_add(&longer, STR("Work/2026"));
	mail_key_add(&shorter, STR("Wor"));
	assert_int_equal(mail_row_set(strand, &longer, STR("long"), &err), ERR_OK);
	assert_int_equal(mail_row_set(strand, &shorter, STR("short"), &err), ERR_OK);
	buf_init(&value, 100);
	assert_int_equal(mail_row_get(strand, &name, &value, &found, &err), ERR_OK);
	assert_false(found);
	assert_int_equal(mail_row_set(strand, &name, STR(""), &err), ERR_OK);
	assert_int_equal(mail_row_get(strand, &name, &value, &found, &err), ERR_OK);
	assert_true(found && value.n == 0);
	assert_int_equal(mail_row_drop(strand, &name, &err), ERR_OK);
	assert_int_equal(mail_row_get(strand, &name, &value, &found, &err), ERR_OK);
	assert_false(found);
	assert_int_equal(mail_row_get(strand, &longer, &value, &found, &err), ERR_OK);
	assert_true(found && str_eq(buf_str(&value), STR("long")));
	buf_fini(&value);
	buf_init(&value, 3);
	assert_int_equal(mail_row_get(strand, &longer, &value, &found, &err), ERR_CORRUPT);
	buf_fini(&value);
}

static void a_row_is_found_by_its_whole_key(void **state)
{
	(void)state;
	in_a_mailbox(one_only);
}

static void put_key(struct strand *strand, const char *name, uint64_t time_ms)
{
	struct err err;
	struct buf value;
	struct mail_key key = mail_key(MAIL_ROW_SENDS);
	mail_key_add(&key, str_of_c(name));
	buf_init(&value, 100);
	mail_put_u64(&value, time_ms);
	mail_put_u8(&value, 1);
	assert_int_equal(mail_row_set(strand, &key, buf_str(&value), &err), ERR_OK);
	buf_fini(&value);
}

static bool count(void *arg, struct str key, struct str value)
{
	assert_true(key.n == 2 && value.n == 9);
	++*(size_t *)arg;
	return true;
}

static void by_time(struct strand *strand)
{
	struct err err;
	size_t n = 0;
	uint64_t left = 0;
	put_key(strand, "a", 1000);
	put_key(strand, "b", 999);
	put_key(strand, "c", INT64_MAX);
	put_key(strand, "d", 1001);
	assert_int_equal(mail_rows_old(strand, MAIL_ROW_SENDS, 1000, 10, count, &n, &err), ERR_OK);
	assert_int_equal(n, 2);
	n = 0;
	assert_int_equal(mail_rows_old(strand, MAIL_ROW_SENDS, 1000, 1, count, &n, &err), ERR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(mail_rows_forget(strand, MAIL_ROW_SENDS, -5, &err), ERR_OK); // a clock before 1970, less some days
	assert_int_equal(mail_rows_count(strand, MAIL_ROW_SENDS, &left, &err), ERR_OK);
	assert_int_equal(left, 4);
	assert_int_equal(mail_rows_forget(strand, MAIL_ROW_SENDS, 1000, &err), ERR_OK);
	assert_int_equal(mail_rows_count(strand, MAIL_ROW_SENDS, &left, &err), ERR_OK);
	assert_int_equal(left, 3);
}

static void old_rows_are_known_by_their_first_number(void **state)
{
	(void)state;
	in_a_mailbox(by_time);
}

static void what_is_cut_short_is_damaged(void **state)
{
	(void)state;
	struct err err;
	struct buf value;
	struct guid guid = {{1, 2, 3}};
	buf_init(&value, 100);
	mail_put_guid(&value, &guid);
	mail_put_u8(&value, 200);
	mail_put_u32(&value, UINT32_MAX);
	mail_put_str(&value, STR("INBOX"));
	for (size_t n = 0; n <= value.n; n++) {
		struct mail_reader reader = {.rest = str_upto(buf_str(&value), n)};
		struct guid read = mail_read_guid(&reader);
		uint8_t small = mail_read_u8(&reader);
		uint32_t number = mail_read_u32(&reader);
		struct str text = mail_read_str(&reader);
		bool whole = n == value.n;
		assert_int_equal(mail_read_end(&reader, "a row", &err), whole ? ERR_OK : ERR_CORRUPT);
		if (whole)
			assert_true(guid_eq(&read, &guid) && small == 200 && number == UINT32_MAX && str_eq(text, STR("INBOX")));
	}
	struct mail_reader longer = {.rest = buf_str(&value)};
	mail_read_guid(&longer);
	assert_int_equal(mail_read_end(&longer, "a row", &err), ERR_CORRUPT);
	assert_true(mail_read_key(STR("x1"), MAIL_ROW_THREAD).damaged);
	assert_true(mail_read_key(STR(""), MAIL_ROW_THREAD).damaged);
	buf_fini(&value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_are_in_the_order_of_their_numbers, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(a_row_is_found_by_its_whole_key, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(old_rows_are_known_by_their_first_number, test_setup, test_teardown),
		cmocka_unit_test(what_is_cut_short_is_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
