// SPDX-License-Identifier: Apache-2.0
// Folders: list, make, delete, rename, subscribe. Names are rows; a folder's parents always have rows too.
#include <stdlib.h>

#include "base/must.h"
#include "mailbox_private.h"
#include "message_flags.h"

struct folder_job {
	struct job job;
	struct str name, to; // borrowed from the caller
	enum folder_use use;
	bool subscribed;
	struct arena *arena; // of the caller, or for the job alone
	struct folder_info *infos;
	size_t n;
};

static bool is_inbox(struct str path)
{
	return str_eq(path, STR("INBOX"));
}

// --- LIST and STATUS ---

// Names in the order of a tree: INBOX first, and '/' before all other characters, so that children follow their parent.
static int compare_paths(struct str a, struct str b)
{
	bool inbox_a = is_inbox(a) || str_starts(a, STR("INBOX/")), inbox_b = is_inbox(b) || str_starts(b, STR("INBOX/"));
	if (inbox_a != inbox_b)
		return inbox_a ? -1 : 1;
	size_t n = a.n < b.n ? a.n : b.n;
	for (size_t i = 0; i < n; i++) {
		unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];
		if (x != y)
			return x == MAILBOX_NAME_DELIMITER ? -1 : y == MAILBOX_NAME_DELIMITER ? 1 : x < y ? -1 : 1;
	}
	return (a.n > b.n) - (a.n < b.n);
}

static int compare_infos(const void *a, const void *b)
{
	const struct folder_info *x = a, *y = b;
	int order = compare_paths(x->name.path, y->name.path);
	return order ? order : (x->id == 0) - (y->id == 0); // a subscription after the folder that it is of
}

static void fill_info(struct folder_info *info, const struct folder_row *row, struct str path)
{
	*info = (struct folder_info){
		.id = row->id,
		.name = {.path = path},
		.guid = row->guid,
		.uidvalidity = row->uidvalidity,
		.uidnext = row->uidnext,
		.modseq = row->modseq,
		.messages = row->messages,
		.unseen = row->unseen,
		.deleted = row->deleted,
		.bytes = row->bytes,
		.use = row->use,
		.selectable = row->selectable,
	};
}

static void count_one(void *arg, const struct folder_change *message)
{
	(void)message;
	++*(uint32_t *)arg;
}

static enum err_code count_recent(struct strand *strand, const struct folder_row *row, uint32_t *recent_out, struct err *err)
{
	uint32_t from = mail_db_recent(strand, row->id, row->recent_uid);
	*recent_out = 0;
	return from >= row->uidnext ? ERR_OK : message_flags_each(strand, row->id, from, 0, count_one, recent_out, err);
}

struct info_buf {
	struct folder_info *p; // malloc()ed
	size_t n, size;
};

static struct folder_info *add_info(struct info_buf *infos)
{
	if (infos->n == infos->size) {
		infos->size = infos->size ? 2 * infos->size : 32;
		infos->p = reallocarray(infos->p, infos->size, sizeof *infos->p);
		must(infos->p != NULL);
	}
	infos->p[infos->n] = (struct folder_info){0};
	return &infos->p[infos->n++];
}

struct folders_read {
	struct strand *strand;
	struct arena *arena;
	struct info_buf *infos;
};

static enum err_code read_folder(void *arg, const struct folder_row *row, struct str name, struct err *err)
{
	struct folders_read *read = arg;
	struct folder_info *info = add_info(read->infos);
	fill_info(info, row, arena_dup(read->arena, name));
	return count_recent(read->strand, row, &info->recent, err);
}

static enum err_code read_folders(struct strand *strand, struct arena *arena, struct info_buf *infos, struct err *err)
{
	struct folders_read read = {.strand = strand, .arena = arena, .infos = infos};
	return folder_rows_each(strand, read_folder, &read, err);
}

static bool is_subscribed(struct str value)
{
	struct mail_reader reader = {.rest = value};
	return mail_read_u8(&reader) != 0;
}

static bool read_subscription(void *arg, struct str key, struct str value)
{
	struct folders_read *read = arg;
	if (is_subscribed(value))
		*add_info(read->infos) =
			(struct folder_info){.name.path = arena_dup(read->arena, str_from(key, 1)), .subscribed = true};
	return true;
}

static enum err_code read_subscriptions(struct strand *strand, struct arena *arena, struct info_buf *infos, struct err *err)
{
	struct folders_read read = {.arena = arena, .infos = infos};
	struct mail_key from = mail_key(MAIL_ROW_SUBSCRIPTION), end = mail_key_behind(MAIL_ROW_SUBSCRIPTION);
	return mail_rows_each(strand, mail_key_str(&from), mail_key_str(&end), read_subscription, &read, err);
}

// Sorted: a subscription that follows its folder becomes the folder's; every folder tells its parent that it has children.
static size_t merge(struct folder_info *infos, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		struct folder_info *last = kept ? &infos[kept - 1] : NULL;
		if (last && infos[i].id == 0 && str_eq(infos[i].name.path, last->name.path))
			last->subscribed = true;
		else
			infos[kept++] = infos[i];
	}
	for (size_t i = 0; i < kept; i++) {
		struct folder_info parent = {.id = infos[i].id};
		if (infos[i].id == 0 || !mailbox_name_parent(&infos[i].name, &parent.name))
			continue;
		struct folder_info *found = bsearch(&parent, infos, kept, sizeof *infos, compare_infos);
		if (found)
			found->has_children = true;
	}
	return kept;
}

static enum job_step list_run(struct job *job, struct strand *strand)
{
	struct folder_job *list = (struct folder_job *)job;
	struct info_buf infos = {0};
	enum err_code code = read_folders(strand, list->arena, &infos, job->err);
	if (code == ERR_OK)
		code = read_subscriptions(strand, list->arena, &infos, job->err);
	if (code == ERR_OK && infos.n) {
		qsort(infos.p, infos.n, sizeof *infos.p, compare_infos);
		list->n = merge(infos.p, infos.n);
		list->infos = arena_array(list->arena, list->n, sizeof *list->infos);
		if (list->infos)
			memcpy(list->infos, infos.p, list->n * sizeof *list->infos);
	}
	free(infos.p);
	if (code == ERR_OK && arena_overflowed(list->arena))
		return job_fail(job, ERR_LIMIT, "a list of %zu folders is too much for one command", list->n);
	return job_end(job, code);
}

enum err_code folder_list(struct mailbox *mailbox, struct arena *arena, struct folder_info **folders_out, size_t *n_out,
	struct err *err)
{
	struct folder_job list = {.arena = arena};
	enum err_code code = mailbox_run(mailbox, &list.job, JOB_READ, list_run, err);
	if (code == ERR_OK) {
		*folders_out = list.infos;
		*n_out = list.n;
	}
	return code;
}

static enum err_code read_subscribed(struct strand *strand, struct str name, bool *subscribed_out, struct err *err)
{
	struct mail_key key = folder_subscription_key(name);
	struct buf value;
	bool found;
	buf_init(&value, FOLDER_SUBSCRIPTION_BYTES);
	enum err_code code = mail_row_get(strand, &key, &value, &found, err);
	*subscribed_out = code == ERR_OK && is_subscribed(buf_str(&value));
	buf_fini(&value);
	return code;
}

static enum job_step status_run(struct job *job, struct strand *strand)
{
	struct folder_job *status = (struct folder_job *)job;
	struct folder_info *info = status->infos;
	struct folder_row row;
	enum err_code code = folder_row_selectable(strand, status->name, &row, job->err);
	if (code)
		return job_end(job, code);
	fill_info(info, &row, arena_dup(status->arena, status->name));
	code = count_recent(strand, &row, &info->recent, job->err);
	if (code == ERR_OK)
		code = folder_row_has_children(strand, status->name, &info->has_children, job->err);
	if (code == ERR_OK)
		code = read_subscribed(strand, status->name, &info->subscribed, job->err);
	return job_end(job, code);
}

enum err_code folder_status(struct mailbox *mailbox, const struct mailbox_name *name, struct arena *arena,
	struct folder_info *info_out, struct err *err)
{
	struct folder_info info;
	struct folder_job status = {.name = name->path, .arena = arena, .infos = &info};
	enum err_code code = mailbox_run(mailbox, &status.job, JOB_READ, status_run, err);
	if (code == ERR_OK)
		*info_out = info;
	return code;
}

static enum job_step takes_messages_run(struct job *job, struct strand *strand)
{
	struct folder_row row;
	return job_end(job, folder_row_selectable(strand, ((struct folder_job *)job)->name, &row, job->err));
}

// INBOX is always there: nobody is asked, which would be a turn of the store and a fifth of an APPEND.
enum err_code folder_takes_messages(struct mailbox *mailbox, const struct mailbox_name *name, struct err *err)
{
	struct folder_job takes = {.name = name->path};
	return is_inbox(name->path) ? ERR_OK : mailbox_run(mailbox, &takes.job, JOB_READ, takes_messages_run, err);
}

// --- CREATE ---

static enum err_code add_parents(struct strand *strand, struct str name, struct err *err)
{
	enum err_code code = ERR_OK;
	for (size_t at = 1; at < name.n && code == ERR_OK; at++) {
		struct folder_row row;
		uint32_t id;
		if (name.p[at] != MAILBOX_NAME_DELIMITER)
			continue;
		code = folder_row_by_name(strand, str_upto(name, at), &row, err);
		if (code == ERR_NOTFOUND)
			code = folder_row_add(strand, str_upto(name, at), FOLDER_USE_NONE, &id, err);
	}
	return code;
}

// Room for one more folder and its parents, or one more subscription.
static enum err_code check_room(struct strand *strand, enum mail_row_kind kind, struct err *err)
{
	uint64_t n = 0;
	enum err_code code = mail_rows_count(strand, kind, &n, err);
	if (code == ERR_OK && n + MAILBOX_NAME_LEVELS_MAX > FOLDERS_MAX)
		code = err_set(err, ERR_LIMIT, "this mailbox has %llu names already", (unsigned long long)n);
	return code;
}

static enum err_code has_other_use(void *arg, const struct folder_row *row, struct str name, struct err *err)
{
	(void)name;
	if (row->use == *(const enum folder_use *)arg) // RFC 6154 section 3 allows several; clients do not (rule 45)
		return err_set(err, ERR_INVALID, "another folder has this special use");
	return ERR_OK;
}

static enum err_code check_use(struct strand *strand, enum folder_use use, struct err *err)
{
	return use == FOLDER_USE_NONE ? ERR_OK : folder_rows_each(strand, has_other_use, &use, err);
}

// A \Noselect name becomes a folder again, a new one to those who knew the old (rule 8).
static enum err_code revive(struct strand *strand, const struct folder_row *row, enum folder_use use, bool selectable,
	struct err *err)
{
	struct folder_row revived;
	enum err_code code = folder_row_by_id(strand, row->id, &revived, err); // its messages have gone meanwhile
	if (code)
		return code;
	if (selectable)
		revived.guid = guid_new();
	revived.selectable = selectable;
	revived.use = use;
	revived.uidvalidity = folder_new_uidvalidity(strand);
	return folder_row_write(strand, &revived, err);
}

static enum job_step create_run(struct job *job, struct strand *strand)
{
	struct folder_job *create = (struct folder_job *)job;
	struct folder_row row;
	uint32_t id;
	enum err_code code = check_use(strand, create->use, job->err);
	if (code)
		return job_end(job, code);
	code = folder_row_by_name(strand, create->name, &row, job->err);
	if (code == ERR_OK)
		return row.selectable ? job_fail(job, ERR_EXISTS, "there is a folder of this name") :
					job_end(job, revive(strand, &row, create->use, true, job->err));
	if (code == ERR_NOTFOUND)
		code = check_room(strand, MAIL_ROW_FOLDER, job->err);
	if (code == ERR_OK)
		code = add_parents(strand, create->name, job->err);
	if (code == ERR_OK)
		code = folder_row_add(strand, create->name, create->use, &id, job->err);
	return job_end(job, code);
}

enum err_code folder_create(struct mailbox *mailbox, const struct mailbox_name *name, enum folder_use use, struct err *err)
{
	struct folder_job create = {.name = name->path, .use = use};
	return mailbox_run(mailbox, &create.job, JOB_WRITE, create_run, err);
}

// --- DELETE ---

// Sends all messages of a folder to the trash. Tombstones go with a folder's name when it goes.
static enum err_code expunge_all(struct strand *strand, const struct folder_row *folder, struct err *err)
{
	struct uid_buf uids = {0}, gone = {0};
	struct folder_delta delta = {0};
	enum err_code code = message_row_uids(strand, folder->id, 0, &uids, err);
	if (code == ERR_OK)
		code = message_rows_expunge(strand, folder->id, uids.p, uids.n, 0, &delta, &gone, err);
	uid_buf_fini(&uids);
	uid_buf_fini(&gone);
	return code ? code : folder_row_apply(strand, folder->id, &delta, err);
}

static enum err_code drop_folder(struct strand *strand, const struct folder_row *row, struct str name, struct err *err)
{
	enum err_code code = message_tombstones_drop(strand, row->id, err);
	if (code == ERR_OK)
		code = message_tombstone_add(strand, row->id, 0, err);
	return code ? code : folder_row_drop(strand, row->id, name, err);
}

static enum job_step delete_run(struct job *job, struct strand *strand)
{
	struct folder_job *delete = (struct folder_job *)job;
	struct folder_row row;
	bool parent = false;
	enum err_code code = folder_row_by_name(strand, delete->name, &row, job->err);
	if (code == ERR_OK)
		code = folder_row_has_children(strand, delete->name, &parent, job->err);
	if (code)
		return job_end(job, code);
	if (parent && !row.selectable)
		return job_fail(job, ERR_EXISTS, "other folders are below this name");
	code = expunge_all(strand, &row, job->err);
	if (code == ERR_OK)
		code = parent ? revive(strand, &row, FOLDER_USE_NONE, false, job->err)
			      : drop_folder(strand, &row, delete->name, job->err);
	return job_end(job, code);
}

enum err_code folder_delete(struct mailbox *mailbox, const struct mailbox_name *name, struct err *err)
{
	if (is_inbox(name->path))
		return err_set(err, ERR_DENIED, "INBOX cannot be deleted");
	struct folder_job delete = {.name = name->path};
	return mailbox_run(mailbox, &delete.job, JOB_WRITE, delete_run, err);
}

// --- RENAME ---

// The messages of INBOX go to the new folder, with flags and keywords; INBOX stays (RFC 3501 section 6.3.5).
static enum err_code rename_inbox(struct folder_job *rename, struct strand *strand, uint32_t to)
{
	struct err *err = rename->job.err;
	struct folder_row inbox;
	struct uid_buf uids = {0};
	enum err_code code = folder_row_by_name(strand, STR("INBOX"), &inbox, err);
	if (code)
		return code;
	code = message_row_uids(strand, inbox.id, 0, &uids, err);
	if (code == ERR_OK)
		code = message_move_all(strand, inbox.id, to, uids.p, uids.n, err);
	uid_buf_fini(&uids);
	return code;
}

static enum err_code rename_tree(struct folder_job *rename, struct strand *strand)
{
	struct err *err = rename->job.err;
	struct info_buf infos = {0};
	enum err_code code = read_folders(strand, rename->arena, &infos, err);
	for (size_t i = 0; i < infos.n && code == ERR_OK; i++) {
		struct str name = infos.p[i].name.path;
		bool below = name.n > rename->name.n && str_starts(name, rename->name) &&
			     name.p[rename->name.n] == MAILBOX_NAME_DELIMITER;
		if (!below && !str_eq(name, rename->name))
			continue;
		struct mailbox_name checked;
		struct str joined =
			arena_printf(rename->arena, "%.*s%.*s", STR_FMT(rename->to), STR_FMT(str_from(name, rename->name.n)));
		if (!mailbox_name_from_utf8(joined, rename->arena, &checked))
			code = err_set(err, ERR_LIMIT, "the name of a folder below would become too long");
		else
			code = folder_row_rename(strand, infos.p[i].id, checked.path, err);
	}
	free(infos.p);
	return code;
}

static enum job_step rename_run(struct job *job, struct strand *strand)
{
	struct folder_job *rename = (struct folder_job *)job;
	struct folder_row row, taken;
	uint32_t id;
	enum err_code code = folder_row_by_name(strand, rename->name, &row, job->err);
	if (code)
		return job_end(job, code);
	code = folder_row_by_name(strand, rename->to, &taken, job->err);
	if (code == ERR_OK)
		return job_fail(job, ERR_EXISTS, "there is a folder of the new name");
	if (code == ERR_NOTFOUND)
		code = add_parents(strand, rename->to, job->err);
	if (code)
		return job_end(job, code);
	if (!is_inbox(rename->name))
		return job_end(job, rename_tree(rename, strand));
	code = folder_row_add(strand, rename->to, FOLDER_USE_NONE, &id, job->err);
	return job_end(job, code ? code : rename_inbox(rename, strand, id));
}

enum { RENAME_ARENA_BYTES = 64 << 20 }; // FOLDERS_MAX names of the longest, twice

enum err_code folder_rename(struct mailbox *mailbox, const struct mailbox_name *from, const struct mailbox_name *to,
	struct err *err)
{
	struct str below;
	if (to->path.n > from->path.n && str_starts(to->path, from->path)) {
		below = str_from(to->path, from->path.n);
		if (below.p[0] == MAILBOX_NAME_DELIMITER && !is_inbox(from->path))
			return err_set(err, ERR_INVALID, "a folder cannot go below itself");
	}
	struct folder_job rename = {.name = from->path, .to = to->path, .arena = arena_new(RENAME_ARENA_BYTES)};
	enum err_code code = mailbox_run(mailbox, &rename.job, JOB_WRITE, rename_run, err);
	arena_free(&rename.arena);
	return code;
}

// --- SUBSCRIBE ---

static enum job_step subscribe_run(struct job *job, struct strand *strand)
{
	struct folder_job *subscribe = (struct folder_job *)job;
	bool before = false;
	enum err_code code = read_subscribed(strand, subscribe->name, &before, job->err);
	if (code == ERR_OK && subscribe->subscribed)
		code = check_room(strand, MAIL_ROW_SUBSCRIPTION, job->err);
	if (code || before == subscribe->subscribed)
		return job_end(job, code);
	struct mail_key key = folder_subscription_key(subscribe->name);
	struct buf value;
	buf_init(&value, FOLDER_SUBSCRIPTION_BYTES);
	folder_subscription_put(&value, subscribe->subscribed, strand_seq(strand));
	code = mail_row_set(strand, &key, buf_str(&value), job->err);
	buf_fini(&value);
	return job_end(job, code);
}

enum err_code folder_subscribe(struct mailbox *mailbox, const struct mailbox_name *name, bool subscribed, struct err *err)
{
	struct folder_job subscribe = {.name = name->path, .subscribed = subscribed};
	return mailbox_run(mailbox, &subscribe.job, JOB_WRITE, subscribe_run, err);
}
