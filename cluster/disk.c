// SPDX-License-Identifier: Apache-2.0
// The identity of a queue's disk: written with inode and birth time of its directory, compared with them at each start.
//
// A copy of the files (restored backup, cloned image) carries the ids but sits in another directory. It may lack what the
// original has promised since, so it must not vote or answer in its name: it gets ids of its own.
#include "disk.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"

#define FILE_NAME STR("disk")

enum { FILE_BYTES_MAX = 512 };

struct place {
	uint64_t inode;
	int64_t birth_ns; // 0 where the file system keeps none
};

static enum err_code place_of(int dir, struct place *place_out, struct err *err)
{
	struct statx st;
	if (statx(dir, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) != 0)
		return err_errno(err, "stat the queue's directory");
	place_out->inode = st.stx_ino;
	place_out->birth_ns = st.stx_mask & STATX_BTIME ? st.stx_btime.tv_sec * INT64_C(1000000000) + st.stx_btime.tv_nsec : 0;
	return ERR_OK;
}

static bool take_word(struct str *rest, struct str name, struct str *value_out)
{
	struct str line, word;
	return str_next_line(rest, &line) && str_cut(line, ' ', &word, value_out) && str_eq(word, name);
}

static bool parse(struct str text, struct disk_identity *identity, struct place *place)
{
	struct str value;
	uint64_t birth_ns;
	if (!take_word(&text, STR("posthouse-disk"), &value) || !str_eq(value, STR("1")) ||
		!take_word(&text, STR("disk"), &value) || !guid_parse(value, &identity->disk) ||
		!take_word(&text, STR("group"), &value) || !guid_parse(value, &identity->group) ||
		!take_word(&text, STR("inode"), &value) || !str_to_u64(value, UINT64_MAX, &place->inode) ||
		!take_word(&text, STR("birth_ns"), &value) || !str_to_u64(value, INT64_MAX, &birth_ns))
		return false;
	place->birth_ns = (int64_t)birth_ns;
	return text.n == 0;
}

enum err_code disk_read(int dir, struct disk_identity *identity_out, enum disk_answer *answer_out, struct err *err)
{
	struct place now, then;
	struct disk_identity identity;
	struct buf text;
	buf_init(&text, FILE_BYTES_MAX);
	enum err_code code = place_of(dir, &now, err);
	if (code == ERR_OK)
		code = file_read(dir, FILE_NAME, &text, err);
	if (code == ERR_NOTFOUND) {
		*answer_out = DISK_NONE;
		code = ERR_OK;
	} else if (code == ERR_OK || code == ERR_LIMIT) {
		bool same = code == ERR_OK && parse(buf_str(&text), &identity, &then) && then.inode == now.inode &&
			    then.birth_ns == now.birth_ns;
		if (same)
			*identity_out = identity;
		*answer_out = same ? DISK_SAME : DISK_COPY;
		code = ERR_OK;
	}
	buf_fini(&text);
	return code;
}

enum err_code disk_write(int dir, const struct disk_identity *identity, struct err *err)
{
	struct place now;
	char disk[GUID_TEXT_BYTES], group[GUID_TEXT_BYTES];
	enum err_code code = place_of(dir, &now, err);
	if (code)
		return code;
	struct buf text;
	buf_init(&text, FILE_BYTES_MAX);
	buf_printf(&text, "posthouse-disk 1\ndisk %s\ngroup %s\ninode %llu\nbirth_ns %lld\n", guid_text(&identity->disk, disk).p,
		guid_text(&identity->group, group).p, (unsigned long long)now.inode, (long long)now.birth_ns);
	code = file_replace(dir, FILE_NAME, buf_str(&text), 0600, err);
	buf_fini(&text);
	return code;
}
