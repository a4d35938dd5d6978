// SPDX-License-Identifier: Apache-2.0
// Many clients on one thread: an epoll loop that runs dialogues.
//
// A dialogue is a step function, called whenever its connection has news. It is written straight down and stops to wait:
//
//     static enum step hello(struct client *c)
//     {
//         BEGIN(c->place);
//         AWAIT(c->place, smtp_reply(c));     // comes back here until the reply is whole
//         EXPECT(c, 220, "greeting");
//         client_say(c, "QUIT\r\n");
//         AWAIT(c->place, smtp_reply(c));
//         END;
//     }
//
// How: `place` keeps the source line of the last AWAIT and a switch jumps there. So locals do not survive an AWAIT (what must is
// in struct client), a dialogue has no switch of its own around an AWAIT, and two AWAITs do not share a line.
//
// This program shares no code with the servers: what it measures cannot be wrong in the same way.
#ifndef MAILLOAD_CLIENT_H
#define MAILLOAD_CLIENT_H

#include "options.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum step { STEP_WAIT, STEP_DONE, STEP_FAIL };
struct client;
typedef enum step client_step(struct client *);

enum client_state { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_HANDSHAKE, CLIENT_TALKING };

struct client {
	int fd, id;
	enum client_state state;
	uint32_t armed; // epoll events asked for
	client_step *step;
	int place, login_place; // where the dialogue goes on; and the log-in that it may begin with
	const struct sockaddr_storage *to;
	enum tls_mode tls;
	SSL *ssl;
	bool tls_up, tls_wants_write, broken;
	bool open;  // the set-up is over: another may be opened
	bool polls; // runs at each turn of the loop once client_poll is set, not only on news
	char *in;   // owned, as is out
	size_t in_bytes, in_pos;
	char *out;
	size_t out_bytes, out_pos, out_capacity;

	// What the readers of replies found.
	int code;       // SMTP's; IMAP and POP3: enum said, or '+'
	char head[512]; // beginning of the last line, or of the one being read
	size_t head_bytes;
	struct {
		char tail[32]; // end of the line being read: has a literal's length
		size_t tail_bytes;
		uint64_t literal_left;
		bool continued; // the line goes on after a literal
		long exists, fetched, found, messages;
	} imap;
	uint64_t payload_bytes;

	// What workloads keep.
	long op; // the operation that is being done; -1: none
	uint64_t begin_us, poll_us, poll_step_us;
	long i, done; // of a loop over recipients or messages; operations on this connection
	long n, batch_next, batch_first, base;
	int phase;
};

enum said { SAID_OK = 1, SAID_NO, SAID_BAD };

#define BEGIN(place) \
	switch (place) { \
	case 0:
#define AWAIT(place, condition) \
	do { \
		(place) = __LINE__; \
		__attribute__((fallthrough)); \
	case __LINE__: \
		if (!(condition)) \
			return STEP_WAIT; \
	} while (0)
// Another dialogue, with a place of its own, as a part of this one.
#define AWAIT_STEP(place, call) \
	do { \
		(place) = __LINE__; \
		__attribute__((fallthrough)); \
	case __LINE__: { \
		enum step step_ = (call); \
		if (step_ != STEP_DONE) \
			return step_; \
	} \
	} while (0)
#define END \
	} \
	return STEP_DONE
#define EXPECT(c, wanted, what) \
	do { \
		if ((c)->code != (wanted)) \
			return client_fail(c, what); \
	} while (0)

extern long client_poll; // set: clients that poll are run at each turn
extern long client_opened;

// host:port into an address; ends the program when there is none.
void client_resolve(const char *host_port, struct sockaddr_storage *out);

// Before anything else; in_bytes: the longest line (or piece of one) that a reader needs at once.
void client_setup(size_t in_bytes);

// More clients with this dialogue. They begin in client_run.
void client_add(long n, client_step *step, const struct sockaddr_storage *to, enum tls_mode tls, bool polls);
long client_count(void);

// Runs until enough() says so (may be NULL), nobody has work left, or the time is up or a signal came, which ends the run.
void client_run(bool (*enough)(void));
void client_close_all(void);
bool client_stopped(void);

// No operation is begun after this.
void client_stop(void);

// The next operation's number, or -1.
long client_next_op(void);

// Operation c->op, begun at c->begin_us, is done.
void client_op_done(struct client *c);

// c is set up; a connection that is held.
void client_is_open(struct client *c);

enum step client_fail(struct client *c, const char *what);
void client_say(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void client_send(struct client *c, const void *p, size_t n);

// STARTTLS has been answered; true once the handshake is done.
bool client_tls_up(struct client *c);

// Takes one line into c->head (cut to its size); false: not all here yet.
bool client_line(struct client *c);

// What there is of the input, borrowed until the next read; client_took says how much of it was used.
static inline const char *client_input(const struct client *c, size_t *n_out)
{
	*n_out = c->in_bytes - c->in_pos;
	return c->in + c->in_pos;
}
static inline void client_took(struct client *c, size_t n)
{
	c->in_pos += n;
}

// Ends the program: a fault of the set-up, not of the server.
void client_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
