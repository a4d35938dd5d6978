// SPDX-License-Identifier: Apache-2.0
// What can be run: one function for each workload, from connecting to the RESULT line. --help says what each does.
#ifndef MAILLOAD_WORKLOADS_H
#define MAILLOAD_WORKLOADS_H

#include "client.h"

void smtp_run(void);
void smtp_run_lmtp(void);
void smtp_run_submission(void);
void smtp_run_idle(void);
void rcpt_run(void);
void imap_run_login(void);
void imap_run_append(void);
void imap_run_idle(void);
void fetch_run(void);
void pop3_run(void);
void ldap_run(void);
void e2e_run(void);
void machine_run_echo(void);
void machine_run_echod(void);
void machine_run_files(void);

// A dialogue of e2e's senders, and the parts of IMAP that others begin with.
client_step smtp_dialogue;
bool smtp_reply(struct client *c);
bool imap_reply(struct client *c);
// Greeting, STARTTLS where asked for, LOGIN as user i.
enum step imap_login(struct client *c, long i);

// opt.operations by opt.connections clients, and the RESULT line.
void workload_run(client_step *step);

// opt.connections clients that are opened and then held for opt.hold_s; "READY" is printed once all are open.
void workload_hold(client_step *step);

#endif
