// SPDX-License-Identifier: Apache-2.0
// Both files of the directory's image: opened together, and made anew together, because one cookie speaks for both.
//
//     struct images images;
//     images_open(&images, shadow_path, credentials_path, &err);
//     ... images.shadow, images.credentials ...
//     images_close(&images);
//
// Blocks on the disk; one thread.
#ifndef LDAPSYNC_IMAGES_H
#define LDAPSYNC_IMAGES_H

#include "image.h"

struct images {
	char *shadow_path, *credentials_path; // owned
	struct image *shadow, *credentials;
};

// Makes the files that are missing. One that SQLite calls damaged is put aside ("shadow.db.damaged") and made anew. After a failure nothing
// is open and images_close need not be called.
enum err_code images_open(struct images *images, const char *shadow_path, const char *credentials_path, struct err *err) ERR_CHECKED;
void images_close(struct images *images);

// Damage that was found while working: both are put aside and made anew. Aborts when that fails: without its databases ldapsync is of no
// use, and the supervisor starts it again.
void images_remake(struct images *images);

// An error of image.h that says that the database itself is damaged.
bool images_are_damaged(enum err_code code);

#endif
