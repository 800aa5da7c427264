// What a policy file may say: the tables of its keys. A key that has not been heard of is refused,
// and so is one that the design names but this version does not enforce.
#ifndef SLUICE_CONFIG_KEYS_H
#define SLUICE_CONFIG_KEYS_H

#include "config/schema.h"

// Both read into a struct policy. The main file:
extern const struct schema MAIN_FILE_SCHEMA;
// A file of policies.d/, which adds teams and limits:
extern const struct schema ADDED_FILE_SCHEMA;

// No blueprint is read by this version. True: the file is one, and that is noted, once, rather than
// an unknown key for each of its lines.
bool refuse_blueprint(struct reader *reader);

#endif
