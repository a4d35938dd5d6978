// SPDX-License-Identifier: Apache-2.0
// A child process that becomes somebody else and answers through a pipe.
#include "as_user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

// Never returns; what stands in the buffers of stdio is the parent's.
static void child(int fd, const struct passwd *user, void (*ask)(void *context, struct buf *answer), void *context)
{
	struct buf answer;
	bool ours = geteuid() == user->pw_uid;
	if (!ours && (initgroups(user->pw_name, user->pw_gid) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
			     setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0))
		_exit(1);
	buf_init(&answer, AS_USER_ANSWER_BYTES_MAX);
	ask(context, &answer);
	for (size_t done = 0; done < answer.n;) {
		ssize_t n = write(fd, answer.p + done, answer.n - done);
		if (n < 0)
			_exit(1);
		done += (size_t)n;
	}
	_exit(0);
}

static enum err_code collect(int fd, struct buf *answer, struct err *err)
{
	char part[2048];
	for (;;) {
		ssize_t n = read(fd, part, sizeof part);
		if (n == 0)
			return ERR_OK;
		if (n < 0 && errno != EINTR)
			return err_errno(err, "read what another process answers");
		if (n > 0)
			buf_add(answer, str_of(part, (size_t)n));
	}
}

enum err_code as_user(const char *name, void (*ask)(void *context, struct buf *answer), void *context, struct buf *answer,
	struct err *err)
{
	const struct passwd *user = getpwnam(name);
	int pipe_fds[2], status;
	if (user == NULL)
		return err_set(err, ERR_NOTFOUND, "there is no user %s", name);
	if (geteuid() != 0 && geteuid() != user->pw_uid)
		return err_set(err, ERR_DENIED, "only root can ask as %s", name);
	if (pipe(pipe_fds) < 0)
		return err_errno(err, "make a pipe");
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(pipe_fds[0]);
		child(pipe_fds[1], user, ask, context);
	}
	close(pipe_fds[1]);
	enum err_code code = pid < 0 ? err_errno(err, "fork") : collect(pipe_fds[0], answer, err);
	close(pipe_fds[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (code == ERR_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		code = err_set(err, ERR_IO, "a question as %s was not answered", name);
	return code;
}
