// SPDX-License-Identifier: Apache-2.0
// The sandbox: Landlock for paths and ports, seccomp for calls, both from a table.
//
// Order: no new privileges, Landlock, seccomp; Landlock's own calls are not in the filter. Threads exist from here on only:
// Landlock holds for the calling thread and its children, seccomp is set for all threads (TSYNC).
//
// The calls are an allow list. Not listed: EPERM. In `fatal`: the process ends with SIGSYS, because nobody but an attacker calls
// them. clone3 hides its flags in memory, where a filter cannot look, so it fails with ENOSYS and libc falls back to clone, which
// may make threads but no processes and no namespaces.
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif

// Newer than Debian 12's header.
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#define ACCESS_NET_BIND_TCP (1ULL << 0)
#define ACCESS_NET_CONNECT_TCP (1ULL << 1)

enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NET = 4 };

static const uint64_t may_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t may_write = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |
				  LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
				  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE;
static const uint64_t file_only = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
	LANDLOCK_ACCESS_FS_TRUNCATE;

// What every daemon may read or write: libraries and their data (iconv, SASL), resolver, trusted certificates, time zone.
static const struct sandbox_rule everybody[] = {
	{SANDBOX_READ, "/usr"}, {SANDBOX_READ, "/lib"}, {SANDBOX_READ, "/lib64"}, {SANDBOX_READ, "/etc/ssl"},
	{SANDBOX_READ, "/etc/hosts"},
	{SANDBOX_READ, "/etc/host.conf"}, {SANDBOX_READ, "/etc/resolv.conf"}, {SANDBOX_READ, "/run/systemd/resolve"},
	{SANDBOX_READ, "/etc/nsswitch.conf"}, {SANDBOX_READ, "/etc/gai.conf"}, {SANDBOX_READ, "/etc/services"},
	{SANDBOX_READ, "/etc/passwd"},
	{SANDBOX_READ, "/etc/group"}, {SANDBOX_READ, "/etc/localtime"}, {SANDBOX_READ, "/etc/ld.so.cache"},
	{SANDBOX_READ, "/etc/sasl2"},
	{SANDBOX_READ, "/proc"}, {SANDBOX_READ, "/sys/devices/system/cpu"}, {SANDBOX_READ, "/dev/urandom"},
	{SANDBOX_READ_WRITE, "/dev/null"},
	{SANDBOX_END, NULL},
};

static const int allowed[] = {
	// files, of which Landlock decides which
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv),
	SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2),
	SCMP_SYS(pwritev2), SCMP_SYS(lseek),
	SCMP_SYS(fstat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(fcntl),
	SCMP_SYS(flock), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(ftruncate), SCMP_SYS(truncate),
	SCMP_SYS(fallocate), SCMP_SYS(fadvise64), SCMP_SYS(copy_file_range), SCMP_SYS(sendfile), SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir),
	SCMP_SYS(link),
	SCMP_SYS(linkat), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(utimensat), SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(umask), SCMP_SYS(inotify_init1), SCMP_SYS(inotify_add_watch), SCMP_SYS(inotify_rm_watch),
	// memory
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk),
		SCMP_SYS(mincore),
	SCMP_SYS(mlock), SCMP_SYS(munlock), SCMP_SYS(msync), SCMP_SYS(membarrier),
	// threads, limits, time, identity
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(rseq), SCMP_SYS(exit),
		SCMP_SYS(exit_group),
	SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(tgkill), SCMP_SYS(kill), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(set_tid_address),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(prctl), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times), SCMP_SYS(getrandom), SCMP_SYS(getrlimit), SCMP_SYS(prlimit64),
	SCMP_SYS(getrusage), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(restart_syscall), SCMP_SYS(pause),
	SCMP_SYS(getcpu),
	// signals
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait),
		SCMP_SYS(rt_sigpending),
	SCMP_SYS(rt_sigsuspend), SCMP_SYS(sigaltstack), SCMP_SYS(signalfd4),
	// waiting
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
		SCMP_SYS(poll),
	SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
	// sockets; which families may be opened is below
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
		SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(recvmmsg), SCMP_SYS(socketpair), SCMP_SYS(listen), SCMP_SYS(bind), SCMP_SYS(connect),
#ifdef SANDBOX_SANITIZED
	SCMP_SYS(personality), SCMP_SYS(ptrace), SCMP_SYS(wait4), SCMP_SYS(process_vm_readv), SCMP_SYS(getdents),
#endif
};

static const int fatal[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
	SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(keyctl), SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(process_vm_writev), SCMP_SYS(userfaultfd), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct),
	SCMP_SYS(open_by_handle_at), SCMP_SYS(fsopen), SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setgroups),
#ifndef SANDBOX_SANITIZED
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
#endif
};

// The kernel's structures with the fields that Debian 12's header does not have yet. Older kernels take the beginning.
struct ruleset {
	uint64_t handled_fs, handled_net;
};

int sandbox_landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return version > 0 ? (int)version : 0;
}

bool sandbox_has_seccomp(void)
{
	return prctl(PR_GET_SECCOMP) >= 0;
}

static bool has(const struct sandbox_rule *may, enum sandbox_permission permission)
{
	for (; may->permission != SANDBOX_END; may++)
		if (may->permission == permission)
			return true;
	return false;
}

static enum err_code add_path(int ruleset, const char *path, uint64_t access, struct err *err)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? ERR_OK : err_errno(err, "sandbox: open %s", path);
	struct stat st;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		access &= file_only;
	struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
	long done = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	enum err_code code = done < 0 ? err_errno(err, "sandbox: Landlock rule for %s", path) : ERR_OK;
	close(fd);
	return code;
}

static enum err_code add_paths(int ruleset, const struct sandbox_rule *may, uint64_t handled, struct err *err)
{
	for (; may->permission != SANDBOX_END; may++) {
		enum err_code code = ERR_OK;
		switch (may->permission) {
		case SANDBOX_READ:
			code = add_path(ruleset, may->path, may_read & handled, err);
			break;
		case SANDBOX_READ_WRITE:
			code = add_path(ruleset, may->path, may_write & handled, err);
			break;
		case SANDBOX_NETWORK:
		case SANDBOX_END:
			break;
		}
		if (code)
			return code;
	}
	return ERR_OK;
}

static enum err_code enter_landlock(const struct sandbox_rule *may, struct err *err)
{
	int version = sandbox_landlock_version();
	if (version == 0)
		return err_set(err, ERR_UNSUPPORTED, "this kernel has no Landlock (add landlock to its lsm= parameter)");
	struct ruleset wanted = {.handled_fs = LANDLOCK_ACCESS_FS_REFER - 1};
	if (version >= ABI_REFER)
		wanted.handled_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= ABI_TRUNCATE)
		wanted.handled_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (version >= ABI_NET)
		wanted.handled_net = ACCESS_NET_BIND_TCP | (has(may, SANDBOX_NETWORK) ? 0 : ACCESS_NET_CONNECT_TCP);
	size_t bytes = version >= ABI_NET ? sizeof wanted : sizeof wanted.handled_fs;
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &wanted, bytes, 0);
	if (ruleset < 0)
		return err_errno(err, "sandbox: Landlock rules");
	enum err_code code = add_paths(ruleset, everybody, wanted.handled_fs, err);
	if (code == ERR_OK)
		code = add_paths(ruleset, may, wanted.handled_fs, err);
	if (code == ERR_OK && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		code = err_errno(err, "sandbox: enter Landlock");
	close(ruleset);
	return code;
}

// Returns the first failure of libseccomp (a negative errno), or 0.
static int fill_filter(scmp_filter_ctx filter, bool network)
{
	int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; rc == 0 && i < sizeof allowed / sizeof *allowed; i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; rc == 0 && i < sizeof fatal / sizeof *fatal; i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, fatal[i], 0);
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
#ifdef SANDBOX_SANITIZED
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 0); // the leak check forks a tracer
#else
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD,
			CLONE_THREAD));
#endif
	// Everything but typing into somebody's terminal.
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_NE, TIOCSTI));
	static const int always[] = {AF_UNIX}, networked[] = {AF_INET, AF_INET6, AF_NETLINK};
	for (size_t i = 0; rc == 0 && i < sizeof always / sizeof *always; i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)always[i]));
	for (size_t i = 0; rc == 0 && network && i < sizeof networked / sizeof *networked; i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ,
			(scmp_datum_t)networked[i]));
	return rc;
}

static enum err_code enter_seccomp(const struct sandbox_rule *may, struct err *err)
{
	if (!sandbox_has_seccomp())
		return err_set(err, ERR_UNSUPPORTED, "this kernel has no seccomp filters");
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	must(filter != NULL);
	int rc = fill_filter(filter, has(may, SANDBOX_NETWORK));
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	errno = -rc;
	return rc == 0 ? ERR_OK : err_errno(err, "sandbox: load the seccomp filter");
}

enum err_code sandbox_enter(const struct sandbox_rule *may, enum sandbox_mode mode, struct err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, "sandbox: no new privileges");
	enum err_code (*const steps[])(const struct sandbox_rule *, struct err *) = {enter_landlock, enter_seccomp};
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct err mine;
		enum err_code code = steps[i](may, &mine);
		if (code == ERR_UNSUPPORTED && mode == SANDBOX_OPTIONAL)
			log_warning(NULL, "sandbox is incomplete", log_err(&mine));
		else if (code)
			return err_set(err, code, "%s", mine.text);
	}
	return ERR_OK;
}
