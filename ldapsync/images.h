// SPDX-License-Identifier: Apache-2.0
// Both files of the directory's image: opened together, and made anew together, because one cookie speaks for both.
//
//     struct images images;
//     images_open(&images, &config, &err);
//     ... images.shadow, images.credentials ...
//     if (images_are_damaged(err.code) || !images_are_in_place(&images)) images_remake(&images);
//     ... a whole load is committed ...
//     images_take_place(&images);
//     images_close(&images);
//
// Damaged files are made anew beside the old ones (shadow.db.new), which readers go on with, as far as they can be read, until a
// whole load is committed. Then the new ones take their place in one rename each, credentials first, and the old ones are kept as
// shadow.db.damaged. Killed on the way: the old files are still there, are found to be damaged again, or have cookies that do not
// fit together, which costs a load.
//
// Blocks on the disk; one thread.
#ifndef LDAPSYNC_IMAGES_H
#define LDAPSYNC_IMAGES_H

#include <sys/types.h>

#include "image.h"
#include "schema/profile.h"

// Where a file was when it was opened.
struct images_place {
	dev_t device;
	ino_t inode;
	off_t bytes; // the most that were seen: it never gets smaller
};

struct images {
	char *shadow_path, *credentials_path; // owned: where readers look
	struct image *shadow, *credentials;
	bool without_secrets; // nobody logs in here: credentials stays empty
	const struct profile *profile; // how entries are taken in; borrowed; NULL: they are native
	struct images_place places[2];
	bool beside;       // what is open is shadow.db.new, credentials.db.new
	uint64_t replaced; // entries of the shadow that readers have meanwhile, as far as that is known
};

struct images_config {
	const char *shadow_path, *credentials_path; // copied
	bool without_secrets; // a credentials.db from before, with something in it, is removed
	const struct profile *profile; // outlives the images
};

// Makes the files that are missing; where one is damaged, both, beside. After a failure nothing is open and images_close need not
// be called.
enum err_code images_open(struct images *images, const struct images_config *config, struct err *err) ERR_CHECKED;
void images_close(struct images *images);

// image_checkpoint of both.
void images_checkpoint(struct images *images);

// Damage that was found while working: both are made anew, beside, empty; nobody is unknown for good by the old ones any more.
// Nothing while they are being made anew already. Aborts when that fails: without its databases ldapsync is of no use, and the
// supervisor starts it again.
void images_remake(struct images *images);

// After a whole load was committed to both: files that were made anew take the place of the old ones. Nothing for others. Aborts
// as above.
void images_take_place(struct images *images);

// Are the files that we write those that readers find, and no smaller than they were? Two calls of stat.
bool images_are_in_place(struct images *images);

// What a load into files that were made anew takes away is judged by what readers have (brake.h): as many entries as are fewer
// now.
void images_count_replaced(const struct images *images, struct image_counters *counters);

// An error of image.h that says that the database itself is damaged.
bool images_are_damaged(enum err_code code);

#endif
