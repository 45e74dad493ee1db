/*
 * region.h: codes of countries and their parts, as ISO 3166 has them: FR, US-FL.
 *
 * Of the United States and Canada all parts are known, of other countries only how their codes look.
 */
#ifndef SMSFLOW_CORE_REGION_H
#define SMSFLOW_CORE_REGION_H

#include <stdbool.h>

/* Whether a region, in capitals, is a country or a part of one in which rules of law may hold: of the United States a state or DC. */
extern bool smsflow_region_known(const char *region);

/*
 * Whether a region, in capitals, may stand in an address: besides those that are known, a country without telephones of its own,
 * and of the United States a territory and what stands for a state in addresses of its forces.
 */
extern bool smsflow_region_of_address(const char *region);

#endif
