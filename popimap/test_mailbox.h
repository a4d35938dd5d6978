// SPDX-License-Identifier: Apache-2.0
// For the tests of what a session does: one mailbox that is open, and the short forms of what is done to its folders.
#ifndef POPIMAP_TEST_MAILBOX_H
#define POPIMAP_TEST_MAILBOX_H

#include "test_store.h"

#include "mailbox_private.h"

static struct mailbox *mb;
static struct err err;

static __attribute__((unused)) int setup(void **state)
{
	int failed = test_setup(state);
	mb = test_mailbox(1);
	return failed;
}

static __attribute__((unused)) int teardown(void **state)
{
	test_close(&mb);
	return test_teardown(state);
}

static __attribute__((unused)) enum err_code create(const char *text)
{
	struct mailbox_name name = test_name(text);
	return folder_create(mb, &name, FOLDER_USE_NONE, &err);
}

static __attribute__((unused)) enum err_code delete(const char *text)
{
	struct mailbox_name name = test_name(text);
	return folder_delete(mb, &name, &err);
}

static __attribute__((unused)) enum err_code rename_to(const char *from, const char *to)
{
	struct mailbox_name a = test_name(from), b = test_name(to);
	return folder_rename(mb, &a, &b, &err);
}

static __attribute__((unused)) enum err_code subscribe(const char *text, bool yes)
{
	struct mailbox_name name = test_name(text);
	return folder_subscribe(mb, &name, yes, &err);
}

static __attribute__((unused)) void append(const char *folder, uint64_t flags)
{
	test_append(mb, folder, str_of_c(test_message), flags);
}

static __attribute__((unused)) uint32_t id_of(const char *folder)
{
	return test_status(mb, folder).id;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
