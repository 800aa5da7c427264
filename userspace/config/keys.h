// What a policy file may say: the tables of its keys. A key that has not been heard of is refused.
#ifndef SLUICE_CONFIG_KEYS_H
#define SLUICE_CONFIG_KEYS_H

#include "config/schema.h"

// Both read into a struct policy. The main file:
extern const struct schema MAIN_FILE_SCHEMA;
// A file of policies.d/, which adds teams, limits, policies and rules:
extern const struct schema ADDED_FILE_SCHEMA;

// Registers the labels that the file itself makes: those that its rules set, and its `labels`. To
// be called for all files before any of them is read, for labels are checked where they are named.
void declare_labels(struct reader *reader);

#endif
