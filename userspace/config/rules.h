// Rules: labels made from other labels, on each request.
#ifndef SLUICE_CONFIG_RULES_H
#define SLUICE_CONFIG_RULES_H

#include "config/schema.h"

// Of an entry of `rules:`; reads into a struct rule.
extern const struct schema RULE_SCHEMA;
void rule_release(struct rule *rule);

// Registers the labels that the document's rules set, before anything of it is read: only so is it
// known where a label is met whether there is one of that name.
void rules_register_labels(struct reader *reader);

#endif
