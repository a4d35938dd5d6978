// SPDX-License-Identifier: Apache-2.0
// Rows of folders and keywords.
#include "folder_row.h"

#include "base/clock.h"
#include "base/must.h"
#include "mail_row.h"

static const uint32_t FOLDER_ID_MAX = (1 << 30) - 1; // the upper half of a message's number, below the caches of bodies

enum { ROW_BYTES_MAX = 16 << 10 }; // the longest name and all keywords

// All of a row.
struct whole {
	struct folder_row row;
	uint64_t made_ms;
	struct str name, keywords; // borrowed from the value
};

// --- The bytes ---

static void encode(const struct whole *whole, struct buf *value)
{
	const struct folder_row *row = &whole->row;
	mail_put_guid(value, &row->guid);
	mail_put_u32(value, row->uidvalidity);
	mail_put_u32(value, row->uidnext);
	mail_put_u32(value, row->recent_uid);
	mail_put_u32(value, row->messages);
	mail_put_u32(value, row->unseen);
	mail_put_u32(value, row->deleted);
	mail_put_u64(value, row->bytes);
	mail_put_u64(value, row->modseq);
	mail_put_u64(value, row->flags_modseq);
	mail_put_u64(value, whole->made_ms);
	mail_put_u8(value, (uint8_t)row->use);
	mail_put_u8(value, row->selectable);
	mail_put_str(value, whole->name);
	mail_put_str(value, whole->keywords);
}

static enum err_code decode(uint32_t id, struct str value, struct whole *whole_out, struct err *err)
{
	struct mail_reader reader = {.rest = value};
	struct whole whole = {.row.id = id};
	struct folder_row *row = &whole.row;
	row->guid = mail_read_guid(&reader);
	row->uidvalidity = mail_read_u32(&reader);
	row->uidnext = mail_read_u32(&reader);
	row->recent_uid = mail_read_u32(&reader);
	row->messages = mail_read_u32(&reader);
	row->unseen = mail_read_u32(&reader);
	row->deleted = mail_read_u32(&reader);
	row->bytes = mail_read_u64(&reader);
	row->modseq = mail_read_u64(&reader);
	row->flags_modseq = mail_read_u64(&reader);
	whole.made_ms = mail_read_u64(&reader);
	row->use = (enum folder_use)mail_read_u8(&reader);
	row->selectable = mail_read_u8(&reader) != 0;
	whole.name = mail_read_str(&reader);
	whole.keywords = mail_read_str(&reader);
	reader.damaged |= id == 0 || id > FOLDER_ID_MAX || row->modseq > INT64_MAX || row->flags_modseq > INT64_MAX;
	*whole_out = whole;
	return mail_read_end(&reader, "the row of a folder", err);
}

static struct mail_key key_of(uint32_t id)
{
	struct mail_key key = mail_key(MAIL_ROW_FOLDER);
	mail_key_u32(&key, id);
	return key;
}

static struct mail_key key_of_name(struct str name)
{
	struct mail_key key = mail_key(MAIL_ROW_NAME);
	mail_key_add(&key, name);
	return key;
}

// --- Reading ---

static enum err_code read_whole(struct strand *strand, uint32_t id, struct buf *value, struct whole *whole_out, struct err *err)
{
	struct mail_key key = key_of(id);
	bool found;
	buf_init(value, ROW_BYTES_MAX);
	enum err_code code = mail_row_get(strand, &key, value, &found, err);
	if (code == ERR_OK)
		code = found ? decode(id, buf_str(value), whole_out, err) : err_set(err, ERR_NOTFOUND, "no such folder");
	if (code)
		buf_fini(value);
	return code;
}

enum err_code folder_row_by_id(struct strand *strand, uint32_t id, struct folder_row *row_out, struct err *err)
{
	struct buf value;
	struct whole whole;
	enum err_code code = read_whole(strand, id, &value, &whole, err);
	if (code)
		return code;
	*row_out = whole.row;
	buf_fini(&value);
	return ERR_OK;
}

// ERR_NOTFOUND when the name is free.
static enum err_code find_name(struct strand *strand, struct str name, uint32_t *id_out, struct err *err)
{
	struct mail_key key = key_of_name(name);
	struct buf value;
	bool found;
	buf_init(&value, ROW_BYTES_MAX);
	enum err_code code = mail_row_get(strand, &key, &value, &found, err);
	struct mail_reader reader = {.rest = buf_str(&value)};
	if (code == ERR_OK && !found)
		code = err_set(err, ERR_NOTFOUND, "no such folder");
	if (code == ERR_OK) {
		*id_out = mail_read_u32(&reader);
		code = mail_read_end(&reader, "the name of a folder", err);
	}
	buf_fini(&value);
	return code;
}

enum err_code folder_row_by_name(struct strand *strand, struct str name, struct folder_row *row_out, struct err *err)
{
	uint32_t id;
	enum err_code code = find_name(strand, name, &id, err);
	if (code)
		return code;
	code = folder_row_by_id(strand, id, row_out, err);
	return code == ERR_NOTFOUND ? err_set(err, ERR_CORRUPT, "a folder has a name and no row") : code;
}

enum err_code folder_row_selectable(struct strand *strand, struct str name, struct folder_row *row_out, struct err *err)
{
	struct folder_row row;
	enum err_code code = folder_row_by_name(strand, name, &row, err);
	if (code)
		return code;
	if (!row.selectable)
		return err_set(err, ERR_NOTFOUND, "this name holds only other folders");
	*row_out = row;
	return ERR_OK;
}

bool folder_row_read(struct str key, struct str value, struct folder_row *row_out, struct str *name_out, struct err *err)
{
	struct mail_reader reader = mail_read_key(key, MAIL_ROW_FOLDER);
	struct whole whole;
	uint32_t id = mail_read_u32(&reader);
	if (mail_read_end(&reader, "the key of a folder", err) || decode(id, value, &whole, err))
		return false;
	*row_out = whole.row;
	*name_out = whole.name;
	return true;
}

struct walk {
	folder_row_take *take;
	void *arg;
	struct err *err;
	enum err_code code;
};

static bool walk_one(void *arg, struct str key, struct str value)
{
	struct walk *walk = arg;
	struct folder_row row;
	struct str name;
	bool good = folder_row_read(key, value, &row, &name, walk->err);
	walk->code = good ? walk->take(walk->arg, &row, name, walk->err) : walk->err->code;
	return walk->code == ERR_OK;
}

enum err_code folder_rows_each(struct strand *strand, folder_row_take *take, void *arg, struct err *err)
{
	struct walk walk = {.take = take, .arg = arg, .err = err};
	struct mail_key from = mail_key(MAIL_ROW_FOLDER), end = mail_key_behind(MAIL_ROW_FOLDER);
	enum err_code code = mail_rows_each(strand, mail_key_str(&from), mail_key_str(&end), walk_one, &walk, err);
	return code ? code : walk.code;
}

static bool found_one(void *arg, struct str key, struct str value)
{
	(void)key;
	(void)value;
	*(bool *)arg = true;
	return false;
}

enum err_code folder_row_has_children(struct strand *strand, struct str name, bool *has_out, struct err *err)
{
	struct mail_key from = key_of_name(name), end = from;
	mail_key_add(&from, STR("/"));
	mail_key_add(&end, STR("0")); // the character behind '/'
	*has_out = false;
	return mail_rows_each(strand, mail_key_str(&from), mail_key_str(&end), found_one, has_out, err);
}

// --- Changing ---

static enum err_code write_whole(struct strand *strand, const struct whole *whole, struct err *err)
{
	struct mail_key key = key_of(whole->row.id);
	struct buf value;
	buf_init(&value, ROW_BYTES_MAX);
	encode(whole, &value);
	enum err_code code = mail_row_set(strand, &key, buf_str(&value), err);
	buf_fini(&value);
	return code;
}

// Calls change for the row, and writes it.
typedef void change_row(struct whole *whole, const void *arg);

static enum err_code change_whole(struct strand *strand, uint32_t id, change_row *change, const void *arg, struct err *err)
{
	struct buf value;
	struct whole whole;
	enum err_code code = read_whole(strand, id, &value, &whole, err);
	if (code)
		return code;
	change(&whole, arg);
	code = write_whole(strand, &whole, err);
	buf_fini(&value);
	return code;
}

static enum err_code set_name(struct strand *strand, struct str name, uint32_t id, struct err *err)
{
	struct mail_key key = key_of_name(name);
	struct buf value;
	buf_init(&value, sizeof id);
	mail_put_u32(&value, id);
	enum err_code code = mail_row_set(strand, &key, buf_str(&value), err);
	buf_fini(&value);
	return code;
}

void folder_delta_count(struct folder_delta *delta, int n, uint64_t flags, uint64_t bytes)
{
	delta->messages += n;
	delta->unseen += flags & FLAG_SEEN ? 0 : n;
	delta->deleted += flags & FLAG_DELETED ? n : 0;
	delta->bytes += n * (int64_t)bytes;
}

struct delta_at {
	const struct folder_delta *delta;
	uint64_t seq;
};

static void add_delta(struct whole *whole, const void *arg)
{
	const struct delta_at *at = arg;
	const struct folder_delta *delta = at->delta;
	struct folder_row *row = &whole->row;
	row->modseq = at->seq;
	if (delta->flags)
		row->flags_modseq = at->seq;
	row->uidnext += delta->uids;
	row->messages += (uint32_t)delta->messages;
	row->unseen += (uint32_t)delta->unseen;
	row->deleted += (uint32_t)delta->deleted;
	row->bytes += (uint64_t)delta->bytes;
}

enum err_code folder_row_apply(struct strand *strand, uint32_t id, const struct folder_delta *delta, struct err *err)
{
	const struct delta_at at = {.delta = delta, .seq = strand_seq(strand)};
	strand->now.folder_seq = at.seq;
	strand->now.messages += (uint64_t)delta->messages;
	strand->now.bytes += (uint64_t)delta->bytes;
	strand_touch(strand, id);
	return change_whole(strand, id, add_delta, &at, err);
}

static void raise_recent(struct whole *whole, const void *arg)
{
	uint32_t uid = *(const uint32_t *)arg;
	if (whole->row.recent_uid < uid)
		whole->row.recent_uid = uid;
}

enum err_code folder_row_recent(struct strand *strand, uint32_t id, uint32_t uid, struct err *err)
{
	enum err_code code = change_whole(strand, id, raise_recent, &uid, err);
	return code == ERR_NOTFOUND ? ERR_OK : code;
}

static void take_row(struct whole *whole, const void *arg)
{
	whole->row = *(const struct folder_row *)arg;
}

enum err_code folder_row_write(struct strand *strand, const struct folder_row *row, struct err *err)
{
	struct folder_row written = *row;
	written.modseq = strand_seq(strand);
	strand->now.folder_seq = written.modseq;
	strand_touch(strand, row->id);
	return change_whole(strand, row->id, take_row, &written, err);
}

static void begin_row(struct whole *whole, const void *arg)
{
	const struct folder_begin *begin = arg;
	whole->row.guid = begin->guid;
	whole->row.uidvalidity = begin->uidvalidity;
	whole->made_ms = (uint64_t)begin->made_ms;
}

enum err_code folder_row_begin(struct strand *strand, uint32_t id, const struct folder_begin *begin, struct err *err)
{
	return change_whole(strand, id, begin_row, begin, err);
}

enum err_code folder_row_rename(struct strand *strand, uint32_t id, struct str name, struct err *err)
{
	struct buf value;
	struct whole whole;
	uint32_t other;
	enum err_code code = find_name(strand, name, &other, err);
	if (code == ERR_OK)
		return err_set(err, ERR_EXISTS, "there is a folder of the new name");
	if (code == ERR_NOTFOUND)
		code = read_whole(strand, id, &value, &whole, err);
	if (code)
		return code;
	struct mail_key old = key_of_name(whole.name);
	whole.name = name;
	whole.row.modseq = strand->now.folder_seq = strand_seq(strand);
	strand_touch(strand, id);
	code = mail_row_drop(strand, &old, err);
	if (code == ERR_OK)
		code = set_name(strand, name, id, err);
	if (code == ERR_OK)
		code = write_whole(strand, &whole, err);
	buf_fini(&value);
	return code;
}

enum err_code folder_row_drop(struct strand *strand, uint32_t id, struct str name, struct err *err)
{
	struct mail_key key = key_of(id), named = key_of_name(name);
	strand->now.folder_seq = 0; // it may have been this row's
	enum err_code code = mail_row_drop(strand, &key, err);
	return code ? code : mail_row_drop(strand, &named, err);
}

uint32_t folder_new_uidvalidity(struct strand *strand)
{
	uint32_t now_s = (uint32_t)(clock_wall_ms() / 1000);
	strand->now.uidvalidity = now_s > strand->now.uidvalidity ? now_s : strand->now.uidvalidity + 1;
	return strand->now.uidvalidity;
}

enum err_code folder_row_add(struct strand *strand, struct str name, enum folder_use use, uint32_t *id_out, struct err *err)
{
	struct guid guid = guid_new();
	if (strand->now.folder >= FOLDER_ID_MAX)
		return err_set(err, ERR_LIMIT, "this mailbox has used up the numbers of its folders");
	uint32_t id = ++strand->now.folder;
	const struct whole whole = {
		.row = {.id = id, .uidvalidity = folder_new_uidvalidity(strand), .uidnext = 1, .recent_uid = 1,
			.modseq = strand_seq(strand), .flags_modseq = strand_seq(strand), .guid = guid, .use = use,
			.selectable = true},
		.made_ms = (uint64_t)clock_wall_ms(),
		.name = name,
	};
	strand->now.folder_seq = strand_seq(strand);
	enum err_code code = write_whole(strand, &whole, err);
	if (code == ERR_OK)
		code = set_name(strand, name, id, err);
	if (code == ERR_OK)
		*id_out = id;
	return code;
}

void folder_row_first(uint32_t id, struct str name, enum folder_use use, struct folder_image *image)
{
	const struct whole whole = {
		.row = {.id = id, .uidnext = 1, .recent_uid = 1, .modseq = 1, .flags_modseq = 1, .use = use, .selectable = true},
		.name = name,
	};
	image->key = key_of(id);
	image->name = key_of_name(name);
	buf_init(&image->value, ROW_BYTES_MAX);
	buf_init(&image->id, sizeof id);
	encode(&whole, &image->value);
	mail_put_u32(&image->id, id);
}

// --- Subscriptions ---

struct mail_key folder_subscription_key(struct str name)
{
	struct mail_key key = mail_key(MAIL_ROW_SUBSCRIPTION);
	mail_key_add(&key, name);
	return key;
}

void folder_subscription_put(struct buf *value, bool subscribed, uint64_t modseq)
{
	mail_put_u8(value, subscribed);
	mail_put_u64(value, modseq);
}

// --- Keywords ---

enum err_code folder_keywords_read(struct strand *strand, uint32_t folder, struct arena *arena,
	struct folder_keywords *keywords_out, struct err *err)
{
	struct folder_keywords *keywords = keywords_out;
	keywords->n = 0;
	struct buf value;
	struct whole whole;
	enum err_code code = read_whole(strand, folder, &value, &whole, err);
	if (code)
		return code == ERR_NOTFOUND ? ERR_OK : code;
	struct str rest = whole.keywords, name;
	while (keywords->n < FLAG_KEYWORDS_MAX && str_cut(rest, ' ', &name, &rest))
		keywords->name[keywords->n++] = arena_dup(arena, name);
	buf_fini(&value);
	return arena_overflowed(arena) ? err_set(err, ERR_LIMIT, "too much for one command") : ERR_OK;
}

static enum err_code add_keyword(struct strand *strand, uint32_t folder, size_t bit, struct str name, struct err *err)
{
	if (bit == FLAG_KEYWORDS_MAX)
		return err_set(err, ERR_LIMIT, "this folder has %d keywords already", FLAG_KEYWORDS_MAX);
	if (name.n == 0 || name.n > FLAG_KEYWORD_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a keyword has at most %d bytes", FLAG_KEYWORD_BYTES_MAX);
	must(str_index(name, ' ') < 0); // an atom
	struct buf value, keywords;
	struct whole whole;
	enum err_code code = read_whole(strand, folder, &value, &whole, err);
	if (code)
		return code;
	buf_init(&keywords, ROW_BYTES_MAX);
	if (buf_add(&keywords, whole.keywords) && buf_add(&keywords, name) && buf_add_byte(&keywords, ' ')) {
		whole.keywords = buf_str(&keywords);
		whole.row.modseq = strand->now.folder_seq = strand_seq(strand);
		code = write_whole(strand, &whole, err);
	} else {
		code = err_set(err, ERR_CORRUPT, "the keywords of a folder are longer than any may be");
	}
	buf_fini(&keywords);
	buf_fini(&value);
	return code;
}

static size_t find_keyword(const struct folder_keywords *keywords, struct str name)
{
	size_t i = 0;
	while (i < keywords->n && !str_eq_nocase(keywords->name[i], name))
		i++;
	return i;
}

enum err_code folder_keyword_bits(struct strand *strand, uint32_t folder, const struct flag_names *names, bool make,
	uint64_t *flags_out, struct err *err)
{
	uint64_t flags = names->system & FLAG_SYSTEM;
	if (names->n == 0) {
		*flags_out = flags;
		return ERR_OK;
	}
	struct arena *arena = arena_new(FLAG_KEYWORDS_MAX * (FLAG_KEYWORD_BYTES_MAX + 64));
	struct folder_keywords keywords;
	enum err_code code = folder_keywords_read(strand, folder, arena, &keywords, err);
	for (size_t i = 0; i < names->n && code == ERR_OK; i++) {
		size_t bit = find_keyword(&keywords, names->keywords[i]);
		if (bit == keywords.n) {
			if (!make)
				continue;
			code = add_keyword(strand, folder, bit, names->keywords[i], err);
			if (code)
				break;
			keywords.name[keywords.n++] = names->keywords[i];
		}
		flags |= UINT64_C(1) << (FLAG_KEYWORD_0 + bit);
	}
	arena_free(&arena);
	if (code == ERR_OK)
		*flags_out = flags;
	return code;
}
