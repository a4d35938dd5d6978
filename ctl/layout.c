// SPDX-License-Identifier: Apache-2.0
// The folders of a node: one table, made before the daemons start.
//
// Made through descriptors without following links: data_dir may lie in a folder that others can write to.
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"

enum whose { LDAPSYNC, MTA, POPIMAP, OWN_GROUP, SHARED_GROUP, AUTH_GROUP };

// Below data_dir; run_dir is apart.
static const struct folder {
	const char *name;
	enum whose owner, group;
	mode_t mode;
} folders[] = {
	{"queue", MTA, OWN_GROUP, 0700},
	{"mailboxes", POPIMAP, OWN_GROUP, 0700},
	{"shadow", LDAPSYNC, SHARED_GROUP, 02750},
	{"credentials", LDAPSYNC, AUTH_GROUP, 02750},
};

enum { PATH_BYTES = 512, SECRET_BYTES = 32 };

static struct str user_of(const struct settings *s, enum whose owner)
{
	return owner == MTA ? s->mta_user : owner == POPIMAP ? s->popimap_user : s->ldapsync_user;
}

// Untouched for no user: then everything is ours.
static enum err_code find_uid(struct str user, uid_t *uid_out, gid_t *gid_out, struct err *err)
{
	if (user.n == 0)
		return ERR_OK;
	const struct passwd *entry = getpwnam(user.p);
	if (entry == NULL)
		return err_set(err, ERR_NOTFOUND,
			"there is no user %.*s; make it (deploy/up does), or name another in the settings", STR_FMT(user));
	*uid_out = entry->pw_uid;
	*gid_out = entry->pw_gid;
	return ERR_OK;
}

static enum err_code find_gid(struct str group, gid_t *gid_out, struct err *err)
{
	const struct group *entry = getgrnam(group.p);
	if (entry == NULL)
		return err_set(err, ERR_NOTFOUND,
			"there is no group %.*s; make it (deploy/up does), or name another in the settings", STR_FMT(group));
	*gid_out = entry->gr_gid;
	return ERR_OK;
}

// Makes path and its parents as far as they are missing.
static enum err_code make_parents(struct str path, struct err *err)
{
	char c[PATH_BYTES];
	if (!str_to_c(path, c, sizeof c))
		return err_set(err, ERR_INVALID, "the path %.*s is too long", STR_FMT(path));
	for (char *p = c + 1;; p++) {
		char was = *p;
		if (was != '/' && was != 0)
			continue;
		*p = 0;
		if (mkdir(c, 0755) < 0 && errno != EEXIST)
			return err_errno(err, "make %s", c);
		*p = was;
		if (was == 0)
			return ERR_OK;
	}
}

// Owner and mode of a folder, through its descriptor. Only root gives away.
static enum err_code give(int dir, const char *name, uid_t uid, gid_t gid, mode_t mode, struct err *err)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open %s", name);
	enum err_code code = ERR_OK;
	if ((geteuid() == 0 && fchown(fd, uid, gid) < 0) || fchmod(fd, mode) < 0)
		code = err_errno(err, "give %s to its user", name);
	close(fd);
	return code;
}

static enum err_code make_folder(const struct settings *s, int data, const struct folder *folder, struct err *err)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	enum err_code code = find_uid(user_of(s, folder->owner), &uid, &gid, err);
	if (code == ERR_OK && s->group.n > 0 && folder->group != OWN_GROUP)
		code = find_gid(folder->group == AUTH_GROUP ? s->auth_group : s->group, &gid, err);
	if (code)
		return code;
	if (mkdirat(data, folder->name, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make %s", folder->name);
	return give(data, folder->name, uid, gid, folder->mode, err);
}

// ldapsync may write in this folder, and a file there may be another name of any file on this disk: root gives no such file away
// (threat fs-race).
static enum err_code give_secret(int dir, uid_t uid, gid_t gid, struct err *err)
{
	struct stat st;
	int fd = openat(dir, "secret", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open credentials/secret");
	enum err_code code = ERR_OK;
	if (fstat(fd, &st) < 0)
		code = err_errno(err, "stat credentials/secret");
	else if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		code = err_set(err, ERR_INVALID, "credentials/secret is no file with one name; remove it, a new one is made");
	else if (fchown(fd, uid, gid) < 0)
		code = err_errno(err, "give credentials/secret to its user");
	close(fd);
	return code;
}

// What the salts of unknown users are made from (DIRECTORY 4): the same on every node and after every restart, or a stranger
// could tell who exists. Made once; a node that joins others gets a copy of theirs.
static enum err_code make_secret(const struct settings *s, int data, struct err *err)
{
	char bytes[SECRET_BYTES];
	int dir = openat(data, "credentials", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_errno(err, "open credentials");
	struct stat st;
	enum err_code code = ERR_OK;
	if (fstatat(dir, "secret", &st, AT_SYMLINK_NOFOLLOW) < 0) {
		random_bytes(bytes, sizeof bytes);
		code = file_replace(dir, STR("secret"), str_of(bytes, sizeof bytes), 0640, err);
		explicit_bzero(bytes, sizeof bytes);
	}
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (code == ERR_OK)
		code = find_uid(s->ldapsync_user, &uid, &gid, err);
	if (code == ERR_OK && s->group.n > 0)
		code = find_gid(s->auth_group, &gid, err);
	if (code == ERR_OK && geteuid() == 0)
		code = give_secret(dir, uid, gid, err);
	close(dir);
	return code;
}

static enum err_code make_run(const struct settings *s, struct err *err)
{
	gid_t gid = getegid();
	enum err_code code = make_parents(s->run_dir, err);
	if (code == ERR_OK && s->group.n > 0)
		code = find_gid(s->group, &gid, err);
	return code ? code : give(AT_FDCWD, s->run_dir.p, geteuid(), gid, 0750, err);
}

enum err_code layout_may(const struct settings *settings, struct err *err)
{
	static const enum whose users[] = {MTA, POPIMAP, LDAPSYNC};
	for (size_t i = 0; geteuid() != 0 && i < sizeof users / sizeof *users; i++) {
		struct str name = user_of(settings, users[i]);
		uid_t uid = geteuid();
		gid_t ignored;
		if (find_uid(name, &uid, &ignored, err) || uid != geteuid())
			return err_set(err, ERR_DENIED,
				"only root can become %.*s, whom the settings name; do this as root, or set mta_user, popimap_user, "
				"ldapsync_user and group to \"\"", STR_FMT(name));
	}
	return ERR_OK;
}

enum err_code layout_make(const struct settings *settings, struct err *err)
{
	enum err_code code = make_parents(settings->data_dir, err);
	if (code)
		return code;
	int data = open(settings->data_dir.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (data < 0)
		return err_errno(err, "open %s", settings->data_dir.p);
	for (size_t i = 0; code == ERR_OK && i < sizeof folders / sizeof *folders; i++)
		code = make_folder(settings, data, &folders[i], err);
	if (code == ERR_OK)
		code = make_secret(settings, data, err);
	fsync(data); // folders that the first 250 depends on
	close(data);
	return code ? err_wrap(err, "data_dir %s", settings->data_dir.p) : make_run(settings, err);
}
