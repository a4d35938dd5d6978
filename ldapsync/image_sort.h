// SPDX-License-Identifier: Apache-2.0
// The keys of a first load, in the order of the table, however many there are and in bounded memory.
//
//     struct image_sort *sort = image_sort_new(STR("/var/lib/posthouse/shadow"));
//     image_sort_add(sort, DIRECTORY_LOGIN, key, id, err);                // in any order
//     image_sort_drain(sort, write_key, image, err);                      // write_key gets each, by kind, key and id
//     image_sort_free(&sort);
//
// Up to some megabytes wait in memory; more goes, sorted, to a file without a name in that folder, and at the end all runs are
// merged. So each page of the table is written once. Blocks on the disk; one thread.
#ifndef LDAPSYNC_IMAGE_SORT_H
#define LDAPSYNC_IMAGE_SORT_H

#include "base/err.h"
#include "ldapsync/directory.h"

struct image_sort;

struct image_sort *image_sort_new(struct str folder); // copied
void image_sort_free(struct image_sort **sort);

// key is copied; at most KEYS_KEY_BYTES_MAX (keys.h). After a failure some are lost: the transaction is over.
enum err_code image_sort_add(struct image_sort *sort, enum directory_key kind, struct str key, int64_t id,
	struct err *err) ERR_CHECKED;

// Gives out all that was added, and is empty again, also after a failure. key lasts for the call.
typedef enum err_code image_sort_fn(void *context, enum directory_key kind, struct str key, int64_t id, struct err *err);
enum err_code image_sort_drain(struct image_sort *sort, image_sort_fn *each, void *context, struct err *err) ERR_CHECKED;

#endif
