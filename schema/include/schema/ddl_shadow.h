// SPDX-License-Identifier: Apache-2.0
// The tables of shadow.db and of credentials.db: one form, two files (FORMATS section 9). Steps for base/db.h.
#ifndef SCHEMA_DDL_SHADOW_H
#define SCHEMA_DDL_SHADOW_H

#include "base/db.h"

extern const struct db_schema ddl_shadow;
extern const struct db_schema ddl_credentials;

#endif
