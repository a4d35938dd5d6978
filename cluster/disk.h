// SPDX-License-Identifier: Apache-2.0
// The identity of a queue's disk: a file beside the database that knows the directory it was made in (CLUSTER 16, 17).
#ifndef CLUSTER_DISK_H
#define CLUSTER_DISK_H

#include "base/err.h"
#include "base/guid.h"

struct disk_identity {
	struct guid disk, group;
};

enum disk_answer {
	DISK_SAME, // the file was made in this directory
	DISK_NONE, // there is none
	DISK_COPY, // made elsewhere: a restored or cloned image
};

// Reads dir's file "disk". A damaged file is DISK_COPY: whatever it was, it does not prove that this is the disk.
enum err_code disk_read(int dir, struct disk_identity *identity_out, enum disk_answer *answer_out, struct err *err) ERR_CHECKED;

// Writes it, durably, with the inode and the birth time that the directory has now.
enum err_code disk_write(int dir, const struct disk_identity *identity, struct err *err) ERR_CHECKED;

#endif
