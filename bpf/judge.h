/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The decision: step 5 of a packet's path, a pure function. No helpers, no maps, no clock.
 * Invariant: verdict and reason depend on nothing but the arguments; only `enforce` ever drops. */
#ifndef KUDO_JUDGE_H
#define KUDO_JUDGE_H

#include "abi.h"
#include "domains.h"
#include "parse.h"
#include "wire.h"

/* One bit per reason: does `enforce` drop it? */
#define KUDO_REASON_DROP_BIT(NAME, name, enforcement, text) | ((__u32)(enforcement) << KUDO_REASON_##NAME)
#define KUDO_DROPPED_REASONS (0u KUDO_REASONS(KUDO_REASON_DROP_BIT))

/* Is it a packet of a service of the map, by its range or by its name? */
kudo_inline int kudo_is_of_map(__u32 reason)
{
	return reason == KUDO_REASON_RULE || reason == KUDO_REASON_NAME;
}

kudo_inline enum kudo_verdict kudo_verdict_for(__u32 mode, __u32 reason)
{
	if (mode == KUDO_ENFORCE && (KUDO_DROPPED_REASONS >> (reason & (KUDO_MAX_REASONS - 1)) & 1))
		return KUDO_DROP;
	if (mode != KUDO_OBSERVE && kudo_is_of_map(reason))
		return KUDO_PRIORITISED;
	return KUDO_PASS;
}

kudo_inline struct kudo_judgement kudo_judgement_of(const struct kudo_policy *policy, __u32 reason,
						    struct kudo_candidate candidate, __u8 class_)
{
	struct kudo_judgement judgement = {
		.generation = policy->generation,
		.verdict_and_class = (__u8)(kudo_verdict_for(policy->mode, reason) | class_ << 4),
		.reason = (__u8)reason,
		.service = candidate.service,
		.prefix_length = candidate.prefix_length,
	};
	return judgement;
}

kudo_inline __u8 kudo_verdict_of(struct kudo_judgement judgement)
{
	return judgement.verdict_and_class & 15;
}

kudo_inline __u8 kudo_class_of(struct kudo_judgement judgement)
{
	return judgement.verdict_and_class >> 4;
}

/* The class of a port of the service, NONE if it does not list it. A port is in a list once. Without branches, each
 * of which would double the verifier's paths. */
kudo_inline __u8 kudo_class_of_port(const struct kudo_service *service, __u8 protocol, __u16 port)
{
	__u32 class_ = KUDO_CLASS_NONE;

	for (int i = 0; i < KUDO_MAX_PORTS; i++) {
		struct kudo_port_rule rule = service->ports[i];
		__u32 listed = kudo_equal(rule.port, port) & kudo_equal(rule.protocol, protocol);
		class_ |= rule.class_ & (0 - listed);
	}
	return (__u8)class_;
}

/* Judges a parsed packet.
 * match: what the longest-prefix match of the remote address gave; null or empty: no range.
 * The most specific service that lists the port decides; if none does, the most specific service is named. */
kudo_inline struct kudo_judgement kudo_judge(const struct kudo_policy *policy, const struct kudo_match *match,
					     __u8 protocol, __u16 remote_port, __u8 non_first_fragment)
{
	struct kudo_candidate none = {0, 0};

	if (!match || match->candidates[0].service == 0)
		return kudo_judgement_of(policy, KUDO_REASON_STRANGER, none, KUDO_CLASS_NONE);
	if (non_first_fragment)
		return kudo_judgement_of(policy, KUDO_REASON_LATER_FRAGMENT, match->candidates[0], KUDO_CLASS_NONE);
	if (protocol == KUDO_PROTOCOL_ICMP || protocol == KUDO_PROTOCOL_ICMPV6)
		return kudo_judgement_of(policy, KUDO_REASON_ICMP, match->candidates[0], KUDO_CLASS_NONE);
	if (protocol != KUDO_PROTOCOL_TCP && protocol != KUDO_PROTOCOL_UDP)
		return kudo_judgement_of(policy, KUDO_REASON_OTHER_PROTOCOL, match->candidates[0], KUDO_CLASS_NONE);

	for (int i = 0; i < KUDO_MAX_CANDIDATES; i++) {
		struct kudo_candidate candidate = match->candidates[i];
		if (candidate.service == 0)
			break;
		const struct kudo_service *service = &policy->services[candidate.service & (KUDO_MAX_SERVICES - 1)];
		__u8 class_ = kudo_class_of_port(service, protocol, remote_port);
		if (class_ != KUDO_CLASS_NONE)
			return kudo_judgement_of(policy, KUDO_REASON_RULE, candidate, class_);
	}
	return kudo_judgement_of(policy, KUDO_REASON_PORT_NOT_LISTED, match->candidates[0], KUDO_CLASS_NONE);
}

/* Judges a packet of TCP or UDP whose remote address is in no range, but was learned for this name: the first of its domain's
 * services that lists the port decides, and the class is control at most. Where none does, or the name is no longer valid,
 * it stays a stranger's. `now`: ns of CLOCK_BOOTTIME. */
kudo_inline struct kudo_judgement kudo_judge_learned_name(const struct kudo_policy *policy,
							  const struct kudo_learned_name *name, __u64 now, __u8 protocol,
							  __u16 remote_port)
{
	struct kudo_candidate candidate = {0, 0};
	const struct kudo_domain *domain = 0;
	__u32 reason = KUDO_REASON_STRANGER;

	if (name->domain != 0 && name->until > now)
		domain = kudo_find_domain(policy, name->domain);
	for (int i = KUDO_DOMAIN_SERVICES - 1; domain && i >= 0; i--) {
		__u8 service = domain->services[i];
		__u8 class_ = kudo_class_of_port(&policy->services[service & (KUDO_MAX_SERVICES - 1)], protocol, remote_port);

		if (service != 0 && class_ != KUDO_CLASS_NONE) {
			candidate.service = service;
			candidate.prefix_length = KUDO_BY_DNS_NAME;
			reason = KUDO_REASON_NAME;
		}
	}
	return kudo_judgement_of(policy, reason, candidate,
				 reason == KUDO_REASON_NAME ? KUDO_CLASS_CONTROL : KUDO_CLASS_NONE);
}

/* Does the judgement of an earlier generation by a name stay with its flow? */
kudo_inline int kudo_keeps_name(const struct kudo_policy *policy, struct kudo_judgement before, __u8 protocol,
				__u16 remote_port)
{
	const struct kudo_service *service = &policy->services[before.service & (KUDO_MAX_SERVICES - 1)];

	return before.reason == KUDO_REASON_NAME &&
	       !(before.prefix_length == KUDO_BY_TLS_NAME && policy->admission != KUDO_ADMISSION_NONE) &&
	       kudo_class_of_port(service, protocol, remote_port) != KUDO_CLASS_NONE;
}

/* Judges a frame that kudo_parse() gave a reason for. */
kudo_inline struct kudo_judgement kudo_judge_unparsed(const struct kudo_policy *policy, __u32 reason)
{
	struct kudo_candidate none = {0, 0};
	return kudo_judgement_of(policy, reason, none, KUDO_CLASS_NONE);
}

#endif /* KUDO_JUDGE_H */
