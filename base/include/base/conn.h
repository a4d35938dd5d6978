// SPDX-License-Identifier: Apache-2.0
// A buffered connection: lines and bytes in, replies out, with deadlines, limits and TLS. A session written on it runs unchanged
// over a socket on a fiber and over memory in a unit test or fuzzer.
//
//     static void serve(struct conn *conn, void *arg)
//     {
//         struct str line;
//         enum conn_eol eol;
//         conn_set_idle_ms(conn, 300000);
//         conn_printf(conn, "220 %s ESMTP\r\n", host);
//         for (;;) {
//             enum err_code code = conn_next_line(conn, 1000, &line, &eol, err);
//             if (code == ERR_LIMIT) { conn_write(conn, STR("500 5.5.6 line too long\r\n")); continue; }
//             if (code == ERR_TIMEOUT || code == ERR_CANCELLED)
//                 conn_write(conn, STR("421 4.4.2 closing\r\n"));           // conn_close still sends it
//             if (code)
//                 break;
//             fiber_shield_enter();                                         // a stop lets this command finish
//             dispatch(conn, line);
//             fiber_shield_leave();
//         }
//         conn_close(&conn, 2000);
//     }
//
// Reading. ERR_CLOSED: the peer closed (a last line without its end is not a line). ERR_TIMEOUT: the deadline or the idle time is
// over. ERR_CANCELLED: this process stops. ERR_IO, ERR_TLS: the connection is broken. After ERR_TIMEOUT and ERR_CANCELLED the
// connection is whole and can still be written; the others stay for ever.
// Writing. Output is buffered; over 16 KiB it is sent, and the fiber waits for the peer. A failure is remembered: every later
// write, flush and read returns it, so replies are written without looking and one check at the flush is enough. Reading never
// flushes.
//
// Owned and used by one fiber. All calls marked "may wait" end with ERR_CANCELLED on a cancel (base/fiber.h), apart from
// conn_close.
#ifndef BASE_CONN_H
#define BASE_CONN_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/netaddr.h"

struct conn;
struct tls_client;
struct tls_server;
struct worker_pool;

enum conn_eol { CONN_CRLF, CONN_BARE_LF };

enum {
	CONN_LINE_BYTES_MAX = 64 << 10, // the most that a caller may allow for a line
	CONN_SWALLOW_BYTES_MAX = 4 << 20, // of a line that is longer
	CONN_OUTPUT_BYTES = 16 << 10,   // buffered output above this is sent
};

// --- Reading ---

// The next line without its end: up to LF, and without one CR before that LF. NULs and lone CRs are kept. *line_out is borrowed
// until the next read on conn. A line of more than bytes_max bytes (its end not counted) is swallowed up to its LF and gives
// ERR_LIMIT, once: nothing of it is ever read as a line of its own. When its end does not come within CONN_SWALLOW_BYTES_MAX,
// ERR_LIMIT comes without it, and every later read gives ERR_CLOSED: only last words can follow. May wait.
enum err_code conn_read_line(struct conn *conn, size_t bytes_max, struct str *line_out, enum conn_eol *eol_out, struct err *err)
	ERR_CHECKED;

// What a server does between two commands: sends its replies unless more input is there already (the replies of a pipelined batch
// leave together, RFC 2920 section 3.2), gives its buffers back, reads the next line. May wait.
enum err_code conn_next_line(struct conn *conn, size_t bytes_max, struct str *line_out, enum conn_eol *eol_out, struct err *err)
	ERR_CHECKED;

// Exactly n bytes, appended to out. ERR_LIMIT when out's cap has no room for them (nothing is read then). On failure out may have
// grown by what came. May wait.
enum err_code conn_read_exact(struct conn *conn, size_t n, struct buf *out, struct err *err) ERR_CHECKED;

// What is there: 1 … n bytes, borrowed until the next read; waits for the first. May wait.
enum err_code conn_read_some(struct conn *conn, size_t n, struct str *chunk_out, struct err *err) ERR_CHECKED;

// The same without taking it: all that is buffered, at least 1 byte. conn_consume takes the first n of it. For readers that find
// the end of their input by looking (DATA's final dot). May wait.
enum err_code conn_peek(struct conn *conn, struct str *chunk_out, struct err *err) ERR_CHECKED;
void conn_consume(struct conn *conn, size_t n);

// Bytes are waiting to be read: do not flush yet (RFC 2920 section 3.1). Does not ask the kernel.
bool conn_has_input(const struct conn *conn);

// --- Writing ---

// Buffers, and sends when over 16 KiB. The result may be ignored: failures are remembered. May wait.
enum err_code conn_write(struct conn *conn, struct str s);
enum err_code conn_printf(struct conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));

// For large bodies: sends what is buffered, then s itself, uncopied (up to 1 KiB is copied after all). May wait.
enum err_code conn_write_through(struct conn *conn, struct str s);

// Sends all that is buffered. May wait.
enum err_code conn_flush(struct conn *conn, struct err *err) ERR_CHECKED;

// The same, but not while there is more to be read without waiting (asks the kernel, unlike conn_has_input): replies to what came
// ahead of a body then go with the reply to the body, in one piece. Before a read that may wait. May wait.
enum err_code conn_flush_before_wait(struct conn *conn, struct err *err) ERR_CHECKED;

// --- Waiting ---

// Waits for FIBER_READABLE (there is input to read, or the end) and FIBER_MESSAGE as asked in events, until deadline_ms; returns
// what came of these, FIBER_TIMEOUT or FIBER_CANCELLED. For IDLE and the like; flush first. The conn's own deadline and idle time
// are not looked at. May wait.
unsigned conn_wait(struct conn *conn, unsigned events, int64_t deadline_ms);

// Two connections at once, for proxies: bit 0 of the result says that a can be read, bit 1 that b can, else FIBER_TIMEOUT or
// FIBER_CANCELLED. May wait.
unsigned conn_wait_either(struct conn *a, struct conn *b, int64_t deadline_ms);

// An absolute end (clock_mono_ms; CLOCK_NEVER) for all reads and writes: the total time of a command or of a session.
void conn_set_deadline_ms(struct conn *conn, int64_t deadline_ms);

// The longest single wait for the peer, in or out. 300 s at the start.
void conn_set_idle_ms(struct conn *conn, int64_t idle_ms);

// Gives back the buffers that are empty: before a long wait. An idle plain connection then costs its fiber's stack page and
// little else. Borrowed lines and chunks are gone. conn_wait does it by itself.
void conn_idle(struct conn *conn);

// --- TLS ---

// The server's side of a handshake, for STARTTLS (after the reply was flushed) and for implicit TLS. Plaintext that was sent
// ahead is thrown away and counted in *discarded_out (NULL allowed): commands injected before the handshake never run, and the
// caller may say so. Fails with ERR_TLS and a text, ERR_TIMEOUT, ERR_CLOSED, ERR_CANCELLED; the connection can then only be
// closed. May wait.
enum err_code conn_tls_accept(struct conn *conn, struct tls_server *server, size_t *discarded_out, struct err *err) ERR_CHECKED;

// The client's side: host is sent as SNI (not when it is an address) and, under TLS_VERIFY_HOST, must be named by the
// certificate. Plaintext that came after the reply to STARTTLS is thrown away. May wait.
enum err_code conn_tls_connect(struct conn *conn, struct tls_client *client, struct str host, struct err *err) ERR_CHECKED;

// What was agreed; NULL while plain. Borrowed until the close.
// Names of a certificate that was verified. A subject is "/C=DE/O=Uni/CN=mail.dept.example": type and value of each part, from
// the root down, where bytes of a value that are no printable ASCII, and blanks and < > ( ) " + / are "+" and two hexadecimal
// digits.
struct conn_tls_peer {
	struct str subject, issuer;
	size_t names_n;
	struct str names[]; // DNS names of its subjectAltName; where it has none, its CN
};

struct conn_tls {
	// owned; NULL: the peer showed no certificate, or none that was verified against tls_server_config.ca_path
	struct conn_tls_peer *peer;
	// owned; of a certificate that was to be verified and is not, for logs alone; why not, a literal
	struct conn_tls_peer *stranger;
	const char *stranger_trouble;
	char version[16];              // "TLSv1.3"
	char cipher[64];               // "TLS_AES_256_GCM_SHA384"
	int bits;                      // of the cipher
	bool resumed;                  // from a session ticket
	bool verified;                 // the peer's certificate was checked and is good
	char server_name[256];         // SNI, "" without
	char peer_fingerprint[65];     // SHA-256 of the peer's certificate in hex, "" without one
	char peer_spki[65];            // SHA-256 of its SubjectPublicKeyInfo (RFC 7469 section 2.4) in hex, as pins have it
};
const struct conn_tls *conn_tls(const struct conn *conn);

// --- Addresses and counters ---

const struct netaddr *conn_peer(const struct conn *conn);
const struct netaddr *conn_local(const struct conn *conn);
uint64_t conn_bytes_in(const struct conn *conn);  // of the application, after TLS
uint64_t conn_bytes_out(const struct conn *conn);
int conn_fd(const struct conn *conn);             // -1 over memory; for SO_PEERCRED and the like, never for I/O

// The user at the other end of a Unix socket, as the kernel saw it connect (or, asked by the one who connected, listen). False:
// it is none.
bool conn_peer_user(const struct conn *conn, uid_t *uid_out);

// --- Making and closing ---

// Takes a connected stream socket (made non-blocking), on a fiber; it is closed on failure (ERR_NOMEM). Addresses are asked from
// it.
enum err_code conn_of_fd(int fd, struct conn **conn_out, struct err *err) ERR_CHECKED;

// Connects to one address, or to host:port, whose addresses (resolved on a worker, at most 8) are tried in turn. bind may be
// NULL. ERR_CONNECT, ERR_TIMEOUT, ERR_NOTFOUND (no such name), ERR_BUSY, ERR_CANCELLED. May wait.
enum err_code conn_connect(const struct netaddr *addr, const struct netaddr *bind, int64_t deadline_ms, struct conn **conn_out,
			   struct err *err) ERR_CHECKED;
enum err_code conn_connect_host(struct worker_pool *resolver, struct str host, uint16_t port, int64_t deadline_ms,
				struct conn **conn_out, struct err *err) ERR_CHECKED;
enum err_code conn_connect_unix(struct str path, int64_t deadline_ms, struct conn **conn_out, struct err *err) ERR_CHECKED;

// The addresses of a name, on a worker; at most n. A numeric host needs no worker (resolver may be NULL). May wait.
enum err_code conn_resolve(struct worker_pool *resolver, struct str host, uint16_t port, struct netaddr *addrs_out, size_t n,
			   size_t *count_out, struct err *err) ERR_CHECKED;

// Sends what is buffered and says goodbye (TLS close_notify, FIN), for at most linger_ms whatever happens, cancel too; then reads
// and discards for the rest of linger_ms until the peer closes, so that our last words are not lost to a reset. 0: none of that.
// Nulls *conn; NULL is fine. May wait.
void conn_close(struct conn **conn, int64_t linger_ms);

// The peer has said that it sends nothing any more (QUIT, LOGOUT), so conn_close need not wait for its end; it does when
// something came after all, or while much of what was written is still to go.
void conn_peer_is_done(struct conn *conn);

// --- Over memory, without a scheduler ---

// The peer is a script: input is what it sends, in pieces that end at the offsets splits (ascending; NULL: one piece; a piece of
// one byte each with CONN_MEMORY_BYTEWISE), then it closes. What we write is appended to output. input, splits and output are
// borrowed. STARTTLS: conn_tls_accept succeeds without TLS, discards what is buffered of the current piece, and conn_tls() is
// then not NULL. conn_wait gives FIBER_READABLE, or FIBER_MESSAGE where the script says so: at each offset in messages (may be
// NULL).
struct conn_memory {
	struct str input;
	const size_t *splits;
	size_t splits_n;
	struct buf *output;    // NULL: thrown away
	struct netaddr peer, local;
	const size_t *messages; // offsets of input before which a conn_wait for FIBER_MESSAGE returns it once; ascending
	size_t messages_n;
	enum err_code end; // what reading gives after the input: ERR_CLOSED (also for 0), ERR_TIMEOUT, ERR_CANCELLED
	const char *peer_spki; // what conn_tls() says of it after STARTTLS; NULL: ""
};
#define CONN_MEMORY_BYTEWISE ((size_t)-1) // as splits_n
struct conn *conn_of_memory(const struct conn_memory *memory);

// --- The table of I/O under a connection, for those who write another one ---

enum {
	CONN_IO_END = 0,          // read: the peer has closed
	CONN_IO_WANT_READ = -1,   // wait until readable, then try again
	CONN_IO_WANT_WRITE = -2,
	CONN_IO_FAILED = -3,      // *err says why
};
struct conn_io {
	ptrdiff_t (*read)(void *self, char *p, size_t n, struct err *err);        // bytes, or one of the above
	ptrdiff_t (*write)(void *self, const char *p, size_t n, struct err *err); // bytes (> 0), or one of the above but END
	unsigned (*wait)(void *self, unsigned events, int64_t deadline_ms);       // as fiber_wait
	void (*close)(void *self, int64_t linger_ms);                             // frees self
	// What is written from now on may wait for the close, which follows; agreed: that need not wait for the peer's. NULL:
	// neither.
	void (*end)(void *self, bool agreed);
};
// Both are taken: io is borrowed for ever, self until its close.
struct conn *conn_of_io(const struct conn_io *io, void *self, const struct netaddr *peer, const struct netaddr *local);

#endif
