// SPDX-License-Identifier: Apache-2.0
// A reply that an administrator wrote into a rule: "ERROR:5.7.1:550 text" of an access rule, "error:5.1.2:550 text" of a route.
//
//     struct reply reply;
//     const char *wrong = rule_reply_parse(arena, STR("4.2.2:450 mailbox full"), 550, &reply);
//     if (wrong) ...                                  // a sentence for whoever wrote the rule
//
// Read are the forms of sendmail's tables and of Postfix's: "D.S.N:code text", "code text", "code D.S.N text", "D.S.N text",
// "text", each with or without quotes. Pure; the result lives in the arena.
#ifndef MAIL_RULE_REPLY_H
#define MAIL_RULE_REPLY_H

#include "base/arena.h"
#include "mail/reply.h"

enum { RULE_REPLY_TEXT_BYTES_MAX = 400 }; // fits one line of a reply

// Takes text apart. What it does not say: code is code_default, or what fits its status; the status is 4.7.1 or 5.7.1; the words
// are "refused by policy". NULL when it is fine, else what is wrong: a code that is neither 4xx nor 5xx, or that contradicts its
// status; text that is not printable ASCII or too long. Untouched then.
const char *rule_reply_parse(struct arena *arena, struct str text, int code_default, struct reply *reply_out);

#endif
